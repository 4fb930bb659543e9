import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { launch } from './support/process.ts'
import { isAlive, processesNaming } from './support/process-list.ts'
import { missing } from './support/services.ts'
import { waitFor } from './support/wait-for.ts'

interface Started {
  folder: string
  pids: number[]
}

t.test('nothing outlives a process that is killed', { skip: missing('postgres', 'memcached', 'chromium', 'firefox') }, async (t) => {
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
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
    const { folder, pids }: Started = await waitFor('the victim to start everything', () => JSON.parse(output), { timeoutMs: 60_000 })
    t.equal(pids.filter(isAlive).length, 3)
    t.ok(processesNaming(folder).length > 3)
    victim.kill(signal)
    await waitFor(`everything to end after ${signal}`, () => processesNaming(folder).length === 0 && !pids.some(isAlive))
    await waitFor('its folders to be removed', () => !existsSync(folder))
    t.pass(`after ${signal}`)
  }
})

t.test('nothing outlives an interrupted run', { skip: missing('postgres', 'memcached') }, async (t) => {
  const test = fileURLToPath(new URL('.', import.meta.url))
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
    const run = await launch(process.execPath, [`${test}run.ts`, `${test}support/endless.ts`], { cwd: `${test}..` })
    t.teardown(() => run.end('SIGKILL'))
    const started = () => /started (\{.*\})/.exec(run.stdout())?.[1]
    const { folder, pids }: Started = JSON.parse(await waitFor('the run to start everything', started, { timeoutMs: 60_000 }))
    t.ok(processesNaming(folder).length >= 3)
    run.signal(signal)
    await waitFor(`everything to end after ${signal}`, () => processesNaming(folder).length === 0 && !pids.some(isAlive), {
      timeoutMs: 30_000,
    })
    await waitFor('its folders to be removed', () => !existsSync(folder))
    t.not((await run.exited).code, 0, `after ${signal}`)
  }
})
