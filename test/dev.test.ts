import { join } from 'node:path'
import t from 'tap'
import { freePort } from './support/free-port.ts'
import { launch } from './support/process.ts'
import { processesNaming } from './support/process-list.ts'
import { waitFor } from './support/wait-for.ts'

t.test('npm run dev: a shop on another origin shows the feeds of two accounts, and Ctrl-C ends all of it', async (t) => {
  const port = await freePort()
  const dev = await launch(process.execPath, ['test/dev.ts'], { cwd: join(import.meta.dirname, '..'), env: { PORT: String(port) } })
  t.teardown(() => dev.end('SIGKILL'))
  await waitFor('the addresses to be printed', () => dev.stdout().includes('Ctrl-C'))
  t.equal(dev.stdout().trimEnd().split('\n').length, 5, dev.stdout())
  const shop = /Shop +(\S+)\//.exec(dev.stdout())?.[1] ?? ''
  const folder = /Store +(\S+)/.exec(dev.stdout())?.[1] ?? ''
  t.not(new URL(shop).origin, `http://localhost:${port}`)

  await waitFor('the agent to serve', async () => (await fetch(`http://localhost:${port}/readyz`)).ok)
  const home = await (await fetch(shop)).text()
  t.match(home, `src="http://localhost:${port}/feed.js"`)
  for (const account of ['default', 'second-shop']) {
    t.match(home, `<token-agent-feed account="${account}"`)
    const answer = await fetch(`http://localhost:${port}/accounts/${account}/media.json`, { headers: { origin: shop } })
    const { data } = (await answer.json()) as { data: { media_url: string; username: string }[] }
    t.same([...new Set(data.map(({ username }) => username))], [account.replace('-', '_')])
    t.match((await fetch(data[0]?.media_url ?? '')).headers.get('content-type'), 'image/')
  }
  t.ok(processesNaming(folder).length > 0)
  t.equal((await dev.end('SIGINT')).code, 0)
  await waitFor('everything to end', () => processesNaming(folder).length === 0)
})
