// Loaded before each test file (package.json, tap's node-arg). A test process that does not end by itself fails; this
// names the open handles, where tap would only report a timeout.
import { basename } from 'node:path'

const PATIENCE_MS = Number(process.env['LEAK_PATIENCE_MS'] ?? 15_000)
const [, file = ''] = process.argv

function fail(what: readonly string[]): never {
  process.removeAllListeners('exit')
  process.stderr.write(`${basename(file)} leaks: ${what.join(', ')}\n`)
  process.exit(1)
}

// Programs started by a test inherit this file; the check is not for them.
if (file.endsWith('.test.ts')) {
  const { default: t } = await import('tap')
  t.teardown(() => setTimeout(() => fail(process.getActiveResourcesInfo()), PATIENCE_MS).unref())
  // Node never closes the handle of a socket that is reset while it ends, although the loop is empty.
  process.on('exit', () => {
    const stuck = process.getActiveResourcesInfo().filter((name) => /^(TCP|Process)/.test(name))
    if (stuck.length > 0) fail(stuck)
  })
}
