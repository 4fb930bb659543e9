// Loaded before the agent (`node --import`): counts the statements that read accounts, and prints them on standard error
// once a second.
const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
const { prepare } = DatabaseSync.prototype
let reads = 0

DatabaseSync.prototype.prepare = function (sql) {
  if (/^select .*\b(?:from|join) accounts/is.test(sql)) reads++
  return prepare.call(this, sql)
}
setInterval(() => {
  if (reads > 0) console.error(`store reads: ${reads}`)
  reads = 0
}, 1000).unref()
