import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startInstagram } from '../support/instagram.ts'
import { cleanClone, NPM, platform, readToken, SITE, shell, startDyno } from './rehearsal.ts'

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
  await agent.stop()
})
