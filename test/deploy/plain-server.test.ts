import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startInstagram } from '../support/instagram.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { cleanClone, NPM, platform, ROOT, readRoot, readToken, SITE, shell, startDyno } from './rehearsal.ts'

t.setTimeout(600_000)

t.test('without development packages npm start serves without a build', async (t) => {
  const app = await cleanClone(t)
  const { env } = platform(t, { NODE_ENV: 'production' })
  await shell(`npm ci --omit=dev ${NPM}`, app, { env })
  t.notOk(existsSync(join(app, 'node_modules/typescript')))
  t.notOk(existsSync(join(app, 'dist')))
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const starting = instagram.issue()
  const settings = { STARTING_TOKEN: starting, ALLOWED_DOMAINS: SITE, INSTAGRAM_GRAPH_URL: instagram.url, HOST: '127.0.0.1' }
  const agent = await startDyno(t, 'npm start', { cwd: app, env: { ...env, ...settings } })
  t.equal(await readToken(agent), instagram.issued.get(starting)?.replacedBy)
  t.match(await agent.stop(), { code: 0 }, 'the signal reaches the agent behind npm')
})

t.test('the two lines of the README end on a page that shows the steps', async (t) => {
  const [, lines = ''] = /## Start\n\n```sh\n(.*?)\n```/s.exec(readRoot('README.md')) ?? []
  t.equal(lines.split('\n').length, 2)
  const [, address = ''] = /git clone (\S+)/.exec(lines) ?? []
  const [install = '', start = ''] = lines
    .replace(address, `--quiet file://${ROOT} token-agent`)
    .replace('npm ci', `npm ci ${NPM}`)
    .split(/ && (?=npm start$)/)
  const [{ env }, folder] = [platform(t), tempFolder(t)]
  await shell(install, folder, { env })
  const agent = await startDyno(t, start, { cwd: join(folder, 'token-agent'), env: { ...env, HOST: '127.0.0.1' } })
  const setup = await fetch(`${agent.url}/setup`, { headers: { accept: 'text/html' } })
  t.equal(setup.status, 200)
  t.match(await setup.text(), /<h1/)
  await waitFor('the one-time password', () => /password/i.test(agent.output()))
  t.match(await agent.stop(), { code: 0 }, 'the signal reaches the agent behind npm')
})
