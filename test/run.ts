// npm test: prepares the services, then runs tap with the given arguments: npm test -- test/reading/allow-list.test.ts
// npm run test:fast: runs the tests that need no service and start no process; installs nothing.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { fastTests } from './support/fast-tests.ts'
import { filesUnder } from './support/files-under.ts'
import { installMissing } from './support/install.ts'
import { type PostgresServer, startPostgres } from './support/postgres.ts'
import { COMPILED, kill } from './support/process.ts'
import { listProcess, processRoot } from './support/process-root.ts'
import { howToInstall, type Service } from './support/services.ts'
import { waitFor } from './support/wait-for.ts'

const TAP = fileURLToPath(new URL('../node_modules/.bin/tap', import.meta.url))
const BUILT = fileURLToPath(new URL('../node_modules/.tap-built', import.meta.url))

const [first, ...others] = process.argv.slice(2)
process.exit(
  first === '--fast' ? await run([...fastTests(), ...others], []) : await run(process.argv.slice(2).flatMap(filesOf), installMissing()),
)

/** tap accepts files, not folders. */
function filesOf(arg: string): string[] {
  return statSync(arg, { throwIfNoEntry: false })?.isDirectory() ? filesUnder(arg, '.test.ts') : [arg]
}

async function run(args: string[], absent: Service[]): Promise<number> {
  if (absent.length > 0) {
    const inCi = process.env['CI'] === 'true'
    console.error(inCi ? howToInstall(absent) : `${howToInstall(absent)} (without it, the tests that need it are skipped)`)
    if (inCi) return 1
  }
  // tap is built for the plugins of package.json; left to itself, its first run would still use the old ones.
  if (!existsSync(BUILT)) {
    execFileSync(process.execPath, [TAP, 'build'], { stdio: 'pipe' })
    writeFileSync(BUILT, '')
  }
  // Started at the first use, because many runs need none.
  let postgres: Promise<PostgresServer> | undefined
  const services = createServer((_request, response) => {
    // A start that failed is tried again by the next test.
    postgres ??= startPostgres().catch((error: Error) => {
      postgres = undefined
      throw error
    })
    postgres.then(
      ({ url }) => response.end(url),
      (error: Error) => response.writeHead(500).end(error.message),
    )
  })
  services.listen(0, '127.0.0.1')
  await once(services, 'listening')
  const root = processRoot()
  const servicesUrl = `http://127.0.0.1:${(services.address() as AddressInfo).port}`
  const env = { NODE_COMPILE_CACHE: COMPILED, ...process.env, TEST_ROOT: root, TEST_SERVICES: servicesUrl }

  // In its own process group, so that a signal reaches tap and its test processes once, through this process.
  const tap = spawn(process.execPath, [TAP, ...args], { env, stdio: 'inherit', detached: true })
  const group = tap.pid as number
  const unlist = listProcess(group, 'KILL')
  let interrupted = false
  let killing: NodeJS.Timeout | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      interrupted = true
      kill(-group, 'SIGTERM')
      killing ??= setTimeout(() => kill(-group, 'SIGKILL'), 5_000)
    })
  }
  const [code] = await once(tap, 'exit')
  clearTimeout(killing)
  unlist()
  await postgres?.then((server) => server.stop())
  // Each test process has its own sweeper, which may end a moment later.
  const swept = () => readdirSync(root).every((name) => !name.startsWith('p-'))
  await waitFor('the services of the tests to end', swept, { timeoutMs: 10_000 }).catch((error: Error) => console.error(error.message))
  return interrupted ? 1 : (code ?? 1)
}
