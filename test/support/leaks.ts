// Loaded ahead of each test file (package.json, tap's node-arg). A test process that does not end by itself is a failure:
// this names what keeps it, where tap would only say that it took too long.
import { basename } from 'node:path'

const PATIENCE_MS = Number(process.env['LEAK_PATIENCE_MS'] ?? 15_000)
const [, file = ''] = process.argv

function fail(what: readonly string[]): never {
  process.removeAllListeners('exit')
  process.stderr.write(`${basename(file)} leaks: ${what.join(', ')}\n`)
  process.exit(1)
}

// Programs that a test starts inherit this file, and end as they like.
if (file.endsWith('.test.ts')) {
  const { default: t } = await import('tap')
  t.teardown(() => setTimeout(() => fail(process.getActiveResourcesInfo()), PATIENCE_MS).unref())
  // Node waits for ever for a socket that was reset in the moment of its end: the loop is empty, and the handle is not closed.
  process.on('exit', () => {
    const stuck = process.getActiveResourcesInfo().filter((name) => /^(TCP|Process)/.test(name))
    if (stuck.length > 0) fail(stuck)
  })
}
