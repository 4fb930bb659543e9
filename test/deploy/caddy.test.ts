import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../support/free-port.ts'
import { OTHER_SITE, openServing, SITE } from '../support/owner.ts'
import { launch } from '../support/process.ts'
import { binary, missing } from '../support/services.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { readRoot } from './rehearsal.ts'

t.setTimeout(300_000)

t.test('behind the Caddyfile of docs/deploying.md each site gets its own answer', { skip: missing('caddy') }, async (t) => {
  const { agent, token } = await openServing(t)
  const [, text = ''] = /```caddyfile\n(.*?)```/s.exec(readRoot('docs/deploying.md')) ?? []
  t.equal(text.trim().split('\n').length, 3)
  const [folder, port] = [tempFolder(t), await freePort()]
  // Without a name there is no certificate to get.
  const site = text.replace('agent.example.com', `http://127.0.0.1:${port}`).replace('127.0.0.1:3000', `127.0.0.1:${await agent.listen()}`)
  writeFileSync(join(folder, 'Caddyfile'), `{\n  admin off\n}\n${site}`)
  const caddy = await launch(binary('caddy'), ['run', '--config', 'Caddyfile', '--adapter', 'caddyfile'], {
    cwd: folder,
    env: { HOME: folder },
  })
  t.teardown(() => caddy.end('SIGTERM'))
  const read = (origin: string) => fetch(`http://127.0.0.1:${port}/token.json`, { headers: { origin } })
  await waitFor('Caddy', async () => (await read(SITE)).status === 200)
  for (let turn = 0; turn < 2; turn++) {
    t.equal((await read(OTHER_SITE)).status, 403)
    const answer = await read(SITE)
    t.equal(answer.headers.get('access-control-allow-origin'), SITE)
    t.strictSame(await answer.json(), { token })
  }
})
