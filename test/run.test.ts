import { spawn } from 'node:child_process'
import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { launch } from './support/process.ts'
import { isAlive, processesNaming } from './support/process-list.ts'
import { missing } from './support/services.ts'
import { tempFolder } from './support/temp-folder.ts'
import { waitFor } from './support/wait-for.ts'

interface Started {
  folder: string
  pids: number[]
}

const SIGNALS = ['SIGKILL', 'SIGTERM', 'SIGINT'] as const
// Much of it is waiting.
t.jobs = SIGNALS.length

for (const signal of SIGNALS) {
  t.test(`nothing outlives a process after ${signal}`, { skip: missing('postgres', 'memcached', 'chromium', 'firefox') }, async (t) => {
    const support = fileURLToPath(new URL('support', import.meta.url))
    const program = `
      import { startPostgres } from '${support}/postgres.ts'
      import { startMemcached } from '${support}/memcached.ts'
      import { launchBrowser } from '${support}/browser.ts'
      import { processRoot } from '${support}/process-root.ts'
      const t = { teardown() {} }
      const [postgres, frozen, memcached] = [await startPostgres(t), await startPostgres(t), await startMemcached(t)]
      for (const name of ['chromium', 'firefox']) await (await launchBrowser(t, name)).newPage()
      frozen.freeze()
      console.log(JSON.stringify({ folder: processRoot(), pids: [postgres.pid, frozen.pid, memcached.pid] }))
      setInterval(() => {}, 1000)`
    const victim = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.teardown(() => victim.kill('SIGKILL'))
    let output = ''
    victim.stdout.on('data', (chunk) => {
      output += chunk
    })
    const { folder, pids }: Started = await waitFor('the victim to start everything', () => JSON.parse(output))
    t.equal(pids.filter(isAlive).length, 3)
    t.ok(processesNaming(folder).length > 3)
    victim.kill(signal)
    await waitFor(`everything to end after ${signal}`, () => processesNaming(folder).length === 0 && !pids.some(isAlive))
    await waitFor('its folders to be removed', () => !existsSync(folder))
  })

  t.test(`nothing outlives a run after ${signal}`, { skip: missing('postgres', 'memcached') }, async (t) => {
    const test = fileURLToPath(new URL('.', import.meta.url))
    const run = await launch(process.execPath, [`${test}run.ts`, `${test}support/endless.ts`], { cwd: `${test}..` })
    t.teardown(() => run.end('SIGKILL'))
    const started = () => /started (\{.*\})/.exec(run.stdout())?.[1]
    const { folder, pids }: Started = JSON.parse(await waitFor('the run to start everything', started))
    t.ok(processesNaming(folder).length >= 3)
    run.signal(signal)
    await waitFor(`everything to end after ${signal}`, () => processesNaming(folder).length === 0 && !pids.some(isAlive), {
      timeoutMs: 30_000,
    })
    await waitFor('its folders to be removed', () => !existsSync(folder))
    t.not((await run.exited).code, 0)
  })
}

t.test('a test process with an open handle ends, names it and fails', async (t) => {
  const folder = tempFolder(t, 'leak')
  symlinkSync(fileURLToPath(new URL('../node_modules', import.meta.url)), join(folder, 'node_modules'))
  const leaks = fileURLToPath(new URL('support/leaks.ts', import.meta.url))
  const kept: Record<string, string> = {
    TCPServerWrap: 'createServer().listen(0)',
    // A bug of Node: the loop is empty, but the process waits for the handle.
    TCPSocketWrap: `const server = createServer((socket) => socket.on('error', () => {}).unref()).listen(0, () => {
      const socket = connect(server.address().port, () => { socket.end('x'); socket.resetAndDestroy(); server.close() })
    })`,
  }
  for (const [name, code] of Object.entries(kept)) {
    const file = join(folder, `${name}.test.ts`)
    writeFileSync(file, `import { connect, createServer } from 'node:net'\nimport t from 'tap'\nt.pass('done')\n${code}\n`)
    const run = await launch(process.execPath, [`--import=${leaks}`, file], { env: { LEAK_PATIENCE_MS: '500' } })
    t.teardown(() => run.end('SIGKILL'))
    t.equal((await run.exited).code, 1)
    t.match(run.stdout(), /^ok 1 - done$/m)
    t.match(run.stderr(), `${name}.test.ts leaks: `)
    t.match(run.stderr(), name)
  }
})
