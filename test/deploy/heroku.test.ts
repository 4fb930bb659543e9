import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startInstagram } from '../support/instagram.ts'
import { startMemcached } from '../support/memcached.ts'
import { startPostgres } from '../support/postgres.ts'
import { missing } from '../support/services.ts'
import { cleanClone, generatedSecret, NPM, platform, readRoot, readToken, SITE, shell, startDyno } from './rehearsal.ts'

t.setTimeout(600_000)

interface AppJson {
  env: Record<string, { value?: string; generator?: string }>
}

t.test(
  'Heroku: clone, install, build, prune, release, serve, sleep, wake and stop',
  { skip: missing('postgres', 'openssl', 'memcached') },
  async (t) => {
    const app = await cleanClone(t)
    // https://devcenter.heroku.com/articles/nodejs-support#build-process
    await shell(`npm ci ${NPM}`, app, platform(t, { NODE_ENV: 'production', NPM_CONFIG_PRODUCTION: 'false', NPM_CONFIG_OMIT: '' }))
    const build = platform(t, { NODE_ENV: 'production' })
    await shell('npm run build', app, build)
    await shell(`npm prune --omit=dev ${NPM}`, app, build)
    t.notOk(existsSync(join(app, 'node_modules/typescript')), 'the compiler stays behind')
    t.ok(existsSync(join(app, 'dist/cli/main.js')))

    const instagram = await startInstagram()
    t.teardown(() => instagram.close())
    const starting = instagram.issue()
    // Heroku's URL does not mention TLS, its server requires it, and its certificate is self-signed.
    const postgres = await startPostgres(t, { ssl: true })
    const database = new URL((await postgres.createDatabase(t)).url)
    database.search = ''
    const memcached = await startMemcached(t)
    const asked = Object.entries((JSON.parse(readRoot('app.json')) as AppJson).env)
    const fromAppJson = asked.flatMap(([name, { value, generator }]) =>
      generator === 'secret' ? [[name, generatedSecret()]] : [[name, value ?? '']],
    )
    const { env } = platform(t, {
      ...Object.fromEntries(fromAppJson),
      NODE_ENV: 'production',
      DYNO: 'web.1',
      DATABASE_URL: database.href,
      MEMCACHIER_SERVERS: memcached.server,
      STARTING_TOKEN: starting,
      ALLOWED_DOMAINS: 'shop.example',
      INSTAGRAM_GRAPH_URL: instagram.url,
    })
    const lines = Object.fromEntries([...readRoot('Procfile').matchAll(/^(\w+): (.+)$/gm)].map(([, name, line]) => [name, line])) as Record<
      string,
      string
    >
    t.match(lines['web'], /^node /, 'not npm, which would intercept the platform’s signals')
    t.match(await shell(lines['release'] ?? '', app, { env: { ...env, DYNO: 'release.1' } }), /up to date/)

    const web = await startDyno(t, lines['web'] ?? '', { cwd: app, env })
    const token = await readToken(web)
    t.equal(token, instagram.issued.get(starting)?.replacedBy, 'the token of the first refresh')
    t.equal((await fetch(`${web.url}/setup`)).status, 200, 'where the button leads')
    t.equal((await fetch(`${web.url}/token.json`, { headers: { origin: `${SITE}.evil.example` } })).status, 403)
    const idle = await web.stop()
    t.match(idle, { code: 0, signal: null }, 'an orderly end')
    t.ok(idle.tookMs < 30_000, `${idle.tookMs} ms: Heroku kills after 30 s`)

    const awake = await startDyno(t, lines['web'] ?? '', { cwd: app, env })
    t.equal(await readToken(awake), token, 'the refreshed token, not the starting one')
    t.match(await awake.stop(), { code: 0 })
    t.notMatch(web.output() + awake.output(), /IGAA|[0-9a-f]{64}/, 'no secret in the log')
  },
)
