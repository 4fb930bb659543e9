import { readFileSync } from 'node:fs'
import t from 'tap'
import { type Config, ConfigError, readConfig, VARIABLES } from '../../src/config/config.ts'
import { explainListen } from '../../src/config/network.ts'

/** Fails where the configuration has no problem. */
function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

const POSTGRES = { DATABASE_URL: 'postgres://me:pw@db.example/agent', ENCRYPTION_KEY: 'a'.repeat(32) }

t.test('an empty environment is a complete configuration', async (t) => {
  t.match(readConfig({}), {
    host: '0.0.0.0',
    port: 3000,
    appUrl: 'http://localhost:3000',
    appUrlIsGuess: true,
    seeds: [],
    allowedDomains: null,
    hideHelpPages: false,
    refreshMode: 'cron',
    refreshFrequency: 'weekly',
    constantNames: { instagram: 'InstagramToken', threads: 'ThreadsToken' },
    webhookSecret: null,
    database: { kind: 'sqlite', path: 'data/token-agent.sqlite' },
    encryptionKeys: null,
    desktop: {},
    memcached: null,
    logLevel: 'info',
    trustProxy: false,
  })
})

// A variable, a wrong value, and a pattern that its problem must match.
const WRONG: [name: string, value: string, words: RegExp][] = [
  ['STARTING_TOKEN', 'a b', /space or a line break/],
  ['STARTING_TOKEN', '{"access_token": ""}', /no field is called access_token/],
  ['STARTING_TOKEN', 'a\nb', /line break/],
  ['STARTING_TOKEN', 'x'.repeat(10_240), /10240 characters/],
  ['STARTING_TOKEN', 'IGAAü', /character that no token has/],
  ['APP_NAME', 'my app', /app’s name on Heroku/],
  ['APP_URL', 'agent.example.com', /must be an address/],
  ['APP_URL', 'https://agent.example.com/path', /without a path/],
  ['APP_URL', 'ftp://agent.example.com', /must be an address/],
  ['APP_URL', 'https://me:pw@agent.example.com', /must be an address/],
  ['APP_URL', 'https://agent.example.com.', /dot at its end/],
  ['APP_URL', 'https://*.example.com', /must be an address/],
  ['APP_URL', 'https://a.example,b.example', /must be an address/],
  ['APP_URL', 'https://agent.example.com:0', /port that does not exist/],
  ['ALLOWED_DOMAINS', '*', /would allow every web site/],
  ['ALLOWED_DOMAINS', 'null', /sandboxed/],
  ['ALLOWED_DOMAINS', '*.github.io', /everybody’s site under github\.io/],
  ['ALLOWED_DOMAINS', '*.herokuapp.com', /everybody’s site/],
  ['ALLOWED_DOMAINS', '*.co.uk', /everybody’s site/],
  ['ALLOWED_DOMAINS', '*.amazonaws.com', /everybody’s site/],
  ['ALLOWED_DOMAINS', 'example.com/path', /has a path/],
  ['ALLOWED_DOMAINS', 'example.com:0', /port/],
  ['ALLOWED_DOMAINS', 'ftp://example.com', /no web site/],
  ['SERVER_KEYS', 'short', /can be guessed/],
  ['SERVER_KEYS', 'long-enough-key,short', /can be guessed/],
  ['HIDE_HELP_PAGES', 'maybe', /true, false/],
  ['REFRESH_MODE', 'hourly', /cron, scheduled/],
  ['REFRESH_FREQUENCY', 'yearly', /daily, weekly, monthly/],
  ['FEED_MODE', 'yes', /“yes” is not one of on, only, off/],
  ['FEED_INTERVAL', '4', /“4” is no whole number of minutes from 5 to 1440/],
  ['FEED_INTERVAL', '30m', /whole number of minutes/],
  ['FEED_POSTS', '101', /whole number of posts from 1 to 100/],
  ['FEED_STORE_MB', '-1', /whole number of megabytes from 10/],
  ['JS_CONSTANT_NAME', '1a', /no JavaScript name/],
  ['JS_CONSTANT_NAME', 'class', /reserved/],
  ['JS_CONSTANT_NAME', 'location', /already means something/],
  ['JS_CONSTANT_NAME', 'x'.repeat(65), /too long/],
  ['WEBHOOK_SECRET', 'secret', /can be guessed/],
  ['WEBHOOK_SECRET', 'a secret with spaces', /visible ASCII/],
  ['DATABASE_URL', 'mysql://localhost/x', /“mysql:” is not supported.*postgres:/],
  ['DATABASE_URL', 'agent.db', /has no scheme/],
  ['DATABASE_URL', 'sqlite:', /: names no file; name a file, such as sqlite:data/],
  ['DATABASE_URL', 'sqlite::memory:', /: a store in memory forgets.*; name a file, such as sqlite:data/],
  ['DATABASE_URL', 'postgres://me:pw@db.example/agent?sslmode=maybe', /sslmode must be one of disable, .* or no-verify/],
  ['DATABASE_URL', 'postgres://me:pw@db.example/agent?sslmode=verify-ca', /needs sslrootcert=<file>/],
  ['DATABASE_URL', 'postgres://me:pw@db.example/agent?ssl=maybe', /sslmode must be one of/],
  ['DATABASE_URL', 'postgres://me:p w@:/', /not a complete address/],
  ['ENCRYPTION_KEY', 'short', /can be guessed.*openssl/],
  ['ENCRYPTION_KEY', `${'a'.repeat(32)},short`, /can be guessed/],
  ['MEMCACHIER_SERVERS', 'mc1.example.com', /host:port/],
  ['MEMCACHIER_SERVERS', 'mc1.example.com:99999', /host:port/],
  ['MEMCACHIER_USERNAME', 'me', /both/],
  ['MEMCACHIER_PASSWORD', 'pw', /both/],
  ['PORT', 'http', /whole number/],
  ['PORT', '70000', /65535/],
  ['PORT', '-1', /whole number/],
  ['PORT', '30.5', /whole number/],
  ['HOST', 'http://agent.example.com', /neither an address nor a name; write 0\.0\.0\.0/],
  ['LOG_LEVEL', 'loud', /fatal, error, warn, info, debug, trace, silent/],
  ['TRUST_PROXY', '1', /list of proxy addresses/],
  ['TRUST_PROXY', 'everybody', /list of proxy addresses/],
  ['TRUST_PROXY', '999.1.1.1', /list of proxy addresses/],
  ['TRUST_PROXY', '10.0.0.0/8/8', /list of proxy addresses/],
  ['TRUST_PROXY', 'fe80::1%eth0', /list of proxy addresses/],
  ['TRUST_PROXY', '10.0.0.0/99', /range that does not exist; write 1 to 32/],
  ['TRUST_PROXY', 'loopback, 10.0.0.0/0', /range that does not exist; write 1 to 32/],
  ['TRUST_PROXY', 'fd00::/129', /range that does not exist; write 1 to 128/],
  ['ADMIN_PASSWORD', 'short', /can be guessed/],
  ['ADMIN_PASSWORD', 'x'.repeat(1500), /1500 characters, and the sign-in takes 1024/],
  ['METRICS_KEY', 'short', /can be guessed/],
  ['ALERT_WEBHOOK_URL', 'http://hooks.example/x', /https/],
  ['ALERT_WEBHOOK_URL', 'not an address', /https/],
  ['ALERT_WEBHOOK_URL', 'https://169.254.169.254/x', /not on the public Internet/],
  ['ALERT_WEBHOOK_URL', 'https://0x7f.1/x', /not on the public Internet/],
  ['ALERT_WEBHOOK_URL', 'https://[::1]:8443/x', /not on the public Internet/],
  ['ALERT_WEBHOOK_URL', 'https://LOCALHOST./x', /not on the public Internet/],
  ['ALERT_WEBHOOK_URL', 'https://metadata.google.internal/x', /not on the public Internet/],
  ['SMTP_URL', 'http://mail.example', /must be an smtp:\/\/ or smtps:\/\/ address/],
  ['ALERT_EMAIL_TO', 'Me <me@example.com>', /plain addresses/],
  ['INSTAGRAM_APP_ID', 'abc', /number|both/],
  ['INSTAGRAM_APP_SECRET', '0123456789abcdef', /both/],
  ['INSTAGRAM_SCOPES', 'Instagram-Business', /permission/],
  ['INSTAGRAM_SCOPES', 'instagram_business_manage_comments', /leaves out instagram_business_basic.*add it/],
  ['INSTAGRAM_GRAPH_URL', 'graph.instagram.com', /must be an address/],
  ['INSTAGRAM_API_URL', 'gopher://x', /must be an address/],
  ['INSTAGRAM_WEB_URL', 'https://x/y', /must be an address/],
  ['THREADS_STARTING_TOKEN', 'a b', /space or a line break/],
  ['THREADS_APP_ID', 'abc', /both the Threads app ID and secret/],
  ['THREADS_APP_SECRET', '0123456789abcdef', /both the Threads app ID and secret/],
  ['THREADS_SCOPES', 'Threads-Basic', /permission such as threads_basic/],
  ['THREADS_SCOPES', 'threads_content_publish', /leaves out threads_basic.*add it/],
  ['THREADS_GRAPH_URL', 'graph.threads.com', /must be an address/],
  ['THREADS_WEB_URL', 'https://x/y', /must be an address/],
  ['FACEBOOK_STARTING_TOKEN', 'a b', /space or a line break/],
  ['FACEBOOK_APP_ID', 'abc', /both the Meta app ID and secret/],
  ['FACEBOOK_APP_SECRET', '0123456789abcdef', /both the Meta app ID and secret/],
  ['FACEBOOK_SCOPES', 'pages_show_list', /leaves out instagram_basic.*add it/],
  ['FACEBOOK_CONFIG_ID', 'mine', /not the number of a configuration/],
  ['FACEBOOK_GRAPH_VERSION', '26', /not a version of the Graph API such as v26\.0/],
  ['FACEBOOK_OBJECT_ID', '@shop', /not the number of a Page/],
  ['FACEBOOK_GRAPH_URL', 'graph.facebook.com', /must be an address/],
  ['FACEBOOK_WEB_URL', 'https://x/y', /must be an address/],
  ['TIKTOK_REFRESH_TOKEN', 'a b', /space or a line break/],
  ['TIKTOK_CLIENT_KEY', 'aw1234567890', /both the client key and the client secret/],
  ['TIKTOK_CLIENT_SECRET', '0123456789abcdef', /both the client key and the client secret/],
  ['TIKTOK_SCOPES', 'User-Info', /scope such as user\.info\.basic/],
  ['TIKTOK_SCOPES', 'video.publish', /leaves out user\.info\.basic.*add it/],
  ['TIKTOK_APP_KIND', 'mobile', /not one of web, desktop/],
  ['TIKTOK_API_URL', 'open.tiktokapis.com', /must be an address/],
  ['TIKTOK_WEB_URL', 'https://x/y', /must be an address/],
]

t.test('each wrong variable is a problem with its name and a remedy', async (t) => {
  for (const [name, value, words] of WRONG) {
    const problems = problemsOf({ [name]: value })
    t.ok(problems.length > 0, `${name}=${value.slice(0, 40)} is refused`)
    t.match(problems[0], words)
    t.ok(/^[A-Z_]+: /.test(problems[0] ?? ''), `${problems[0]}`)
    if (!/^(MEMCACHIER_|[A-Z]+_APP_(ID|SECRET)|TIKTOK_CLIENT_)/.test(name)) t.ok(problems[0]?.startsWith(`${name}: `), `${name} is named`)
  }
})

t.test('that list covers every variable', async (t) => {
  const covered = new Set(WRONG.map(([name]) => name))
  t.same(
    VARIABLES.filter((name) => !covered.has(name)),
    [],
  )
})

t.test('one mistake is one problem of one variable', async (t) => {
  const alone: [name: string, value: string][] = [
    ['PORT', 'abc'],
    ['APP_URL', 'https://agent.example.com.'],
    ['TRUST_PROXY', '10.0.0.0/99'],
  ]
  for (const [name, value] of alone) t.match(problemsOf({ [name]: value }), [new RegExp(`^${name}: `)], name)
  for (const [name, value] of alone) t.equal(problemsOf({ [name]: value }).length, 1, name)
  t.match(problemsOf({ ...POSTGRES, DATABASE_URL: `${POSTGRES.DATABASE_URL}?sslmode=maybe`, PORT: 'abc' }), [/^PORT: /, /^DATABASE_URL: /])
})

t.test('valid values close to those mistakes are accepted', async (t) => {
  const proxies = (text: string) => readConfig({ TRUST_PROXY: text }).trustProxy
  t.same(proxies('Loopback 10.0.0.0/8, 192.0.2.1 fd00::/8 ::1'), ['loopback', '10.0.0.0/8', '192.0.2.1', 'fd00::/8', '::1'])
  t.equal(proxies('true'), true)
  t.equal(readConfig({ ALERT_WEBHOOK_URL: 'https://8.8.8.8/x' }).alertWebhookUrl?.reveal(), 'https://8.8.8.8/x')
  const scopes = 'instagram_business_manage_comments instagram_business_basic'
  t.match(readConfig({ INSTAGRAM_SCOPES: scopes }).providers[0]?.config, { scopes: scopes.split(' ') })
  for (const host of ['::', 'fe80::1%eth0', 'localhost', 'my_host.internal']) t.equal(readConfig({ HOST: host }).host, host)
})

t.test('with port 0 the agent has no own origin unless APP_URL names it', async (t) => {
  const chosen = readConfig({ PORT: '0' })
  t.equal(chosen.port, 0)
  t.equal(chosen.allowList.exact.size, 0)
  t.same([...readConfig({ PORT: '0', APP_URL: 'https://tokens.example' }).allowList.exact], ['https://tokens.example'])
})

t.test('a port that needs an administrator is explained', async (t) => {
  const denied = Object.assign(new Error('listen EACCES: permission denied 0.0.0.0:80'), { code: 'EACCES' })
  t.match(explainListen(denied, { host: '0.0.0.0', port: 80 }), { code: 'invalid', message: /^PORT: 80 .* choose one from 1024 up/ })
  const other = new Error('something else')
  t.equal(explainListen(other, { host: '0.0.0.0', port: 80 }), other)
})

t.test('all problems are reported at once', async (t) => {
  const error = t.throws(() =>
    readConfig({ PORT: 'x', REFRESH_MODE: 'x', LOG_LEVEL: 'x', ALLOWED_DOMAINS: '* *.github.io' }),
  ) as unknown as ConfigError
  t.equal(error.problems.length, 5)
  t.match(error.message, /5 problems:\n {2}- PORT: /)
  t.equal(error.message.split('\n').length, 6)
})

t.test('a problem shows no secret', async (t) => {
  const secret = 'c-secret'
  const values: Record<string, string> = {
    STARTING_TOKEN: `${secret} x`,
    SERVER_KEYS: 'c-secre',
    WEBHOOK_SECRET: `${secret} ü`,
    ENCRYPTION_KEY: `${secret}`,
    DATABASE_URL: `mysql://me:${secret}@db.example/x`,
    ADMIN_PASSWORD: 'c-secre',
    METRICS_KEY: 'c-secre',
    ALERT_WEBHOOK_URL: `http://hooks.example/${secret}`,
    SMTP_URL: `smtp://me:${secret}@mail.example/?debug=true`,
    ALERT_EMAIL_TO: `${secret}@`,
    MEMCACHIER_PASSWORD: secret,
    INSTAGRAM_APP_SECRET: 'c-secre',
    THREADS_STARTING_TOKEN: `${secret} x`,
    THREADS_APP_SECRET: 'c-secre',
    FACEBOOK_STARTING_TOKEN: `${secret} x`,
    FACEBOOK_APP_SECRET: 'c-secre',
    TIKTOK_REFRESH_TOKEN: `${secret} x`,
    TIKTOK_CLIENT_SECRET: 'c-secre',
    APP_URL: `https://me:${secret}@agent.example`,
    INSTAGRAM_GRAPH_URL: `https://me:${secret}@agent.example`,
    ALLOWED_DOMAINS: `https://me:${secret}@shop.example`,
  }
  t.notMatch(problemsOf(values).join('\n'), /c-secre/)
  t.ok(problemsOf(values).length >= 12)
})

t.test('placeholders of the older agent and empty values count as unset', async (t) => {
  const config = readConfig({ STARTING_TOKEN: 'copy_token_here', APP_NAME: 'copy_app_name_here', ALLOWED_DOMAINS: 'yourwebsite.com' })
  t.same(config.seeds, [])
  t.equal(config.allowedDomains, null)
  t.equal(config.appUrl, 'http://localhost:3000')
  t.equal(readConfig({ ALLOWED_DOMAINS: 'yourwebsite.com, shop.example' }).allowedDomains, 'shop.example')
  t.same(readConfig(Object.fromEntries(VARIABLES.map((name) => [name, '']))), readConfig({}))
  t.same(readConfig(Object.fromEntries(VARIABLES.map((name) => [name, ' \n']))), readConfig({}))
})

t.test('HIDE_HELP_PAGES accepts the usual words for yes and no, in any case', async (t) => {
  const hides = (value: string): boolean => readConfig({ HIDE_HELP_PAGES: value }).hideHelpPages
  for (const yes of ['true', '1', 'yes', 'on', 'TRUE', 'Yes']) t.equal(hides(yes), true, yes)
  for (const no of ['false', '0', 'no', 'off', 'False', '']) t.equal(hides(no), false, no)
})

t.test('spaces around a value are removed', async (t) => {
  const config = readConfig({ STARTING_TOKEN: ' IGAAabc\n', APP_URL: ' https://agent.example/ ', JS_CONSTANT_NAME: ' Shop ' })
  t.equal(config.seeds[0]?.token.reveal(), 'IGAAabc')
  t.equal(config.appUrl, 'https://agent.example')
  t.same(
    config.constantNames,
    { instagram: 'Shop', threads: 'ThreadsToken', facebook: 'FacebookToken', tiktok: 'TikTokToken' },
    'accounts of other providers keep theirs',
  )
})

t.test('the platform’s variables give the address', async (t) => {
  const guesses: [Record<string, string>, string][] = [
    [{ HEROKU_APP_DEFAULT_DOMAIN_NAME: 'shop-1234.herokuapp.com', APP_NAME: 'shop' }, 'https://shop-1234.herokuapp.com'],
    [{ RENDER_EXTERNAL_URL: 'https://shop.onrender.com' }, 'https://shop.onrender.com'],
    [{ FLY_APP_NAME: 'shop' }, 'https://shop.fly.dev'],
    [{ RAILWAY_PUBLIC_DOMAIN: 'shop.up.railway.app' }, 'https://shop.up.railway.app'],
    [{ APP_NAME: 'Shop' }, 'https://shop.herokuapp.com'],
    [{ PORT: '4000' }, 'http://localhost:4000'],
  ]
  for (const [env, appUrl] of guesses) t.equal(readConfig({ ...POSTGRES, ...env }).appUrl, appUrl)
  t.equal(readConfig({ APP_NAME: 'shop', APP_URL: 'https://tokens.example' }).appUrl, 'https://tokens.example', 'APP_URL wins')
  t.equal(readConfig({ APP_NAME: 'shop' }).appUrlIsGuess, false)
})

t.test('without ALLOWED_DOMAINS the agent’s own origin is the list', async (t) => {
  t.same([...readConfig({ APP_URL: 'https://tokens.example' }).allowList.exact], ['https://tokens.example'])
})

t.test('a disk that is wiped at each restart is refused, with the remedy', async (t) => {
  const wiped: Record<string, string>[] = [
    { DYNO: 'web.1' },
    { DYNO: 'web.1', DATABASE_URL: 'sqlite:agent.db' },
    { K_SERVICE: 'agent' },
    { RENDER: 'true' },
    { RENDER: 'true', DATABASE_URL: 'sqlite:data/agent.db' },
    { FLY_APP_NAME: 'shop' },
    { RAILWAY_ENVIRONMENT: 'production' },
  ]
  for (const env of wiped) t.match(problemsOf(env), [/^DATABASE_URL: .*wipes its disk.*add a Postgres database/], JSON.stringify(env))
  for (const name of ['DYNO', 'K_SERVICE', 'AWS_LAMBDA_FUNCTION_NAME', 'RENDER']) {
    const { database, warnings } = readConfig({ [name]: 'x', DATABASE_URL: 'sqlite:/var/data/agent.db' })
    const mayBeWiped = name === 'RENDER' ? {} : { mayBeWiped: true }
    t.same(database, { kind: 'sqlite', path: '/var/data/agent.db', ...mayBeWiped }, `${name}: an absolute path is its owner's word`)
    t.equal(warnings.length, name === 'RENDER' ? 0 : 1, name)
  }
  t.same(problemsOf({ DYNO: 'web.1', ...POSTGRES }), [])
})

t.test('Postgres needs a key, and the problem says how to make one', async (t) => {
  t.match(problemsOf({ DATABASE_URL: POSTGRES.DATABASE_URL }), [/^ENCRYPTION_KEY: .*Postgres.*openssl rand -hex 32/])
  const session = { HOME: '/home/ana', DBUS_SESSION_BUS_ADDRESS: 'unix:path=/run/bus' }
  t.same(readConfig({ ...POSTGRES, ...session }).desktop, session, 'the keychain’s child gets nothing else')
  const { encryptionKeys } = readConfig({ ...POSTGRES, ENCRYPTION_KEY: `${'n'.repeat(32)}, ${'o'.repeat(32)}` })
  t.same(
    encryptionKeys?.map((key) => key.reveal()[0]),
    ['n', 'o'],
    'newest first',
  )
  for (const scheme of ['postgres', 'postgresql'])
    t.match(readConfig({ ...POSTGRES, DATABASE_URL: `${scheme}://me:pw@db.example/agent` }).database, {
      kind: 'postgres',
      selfSignedChain: false,
    })
  t.match(readConfig({ ...POSTGRES, DYNO: 'web.1' }).database, { selfSignedChain: true })
})

t.test('quotes around any value are removed, with a warning that names the variable and shows no value', async (t) => {
  const plain: Record<string, string> = {
    STARTING_TOKEN: 'IGAAcanary',
    APP_NAME: 'canary',
    APP_URL: 'https://canary.example',
    ALLOWED_DOMAINS: 'canary.example,*.canary.example',
    SERVER_KEYS: 'canary-key-1,canary-key-2',
    HIDE_HELP_PAGES: 'true',
    REFRESH_MODE: 'scheduled',
    REFRESH_FREQUENCY: 'daily',
    FEED_MODE: 'only',
    FEED_INTERVAL: '60',
    FEED_POSTS: '12',
    FEED_STORE_MB: '50',
    JS_CONSTANT_NAME: 'Canary',
    WEBHOOK_SECRET: 'canary-hook',
    DATABASE_URL: 'postgres://me:canary@db.example/agent',
    ENCRYPTION_KEY: 'canary-0123456789abcdef',
    MEMCACHIER_SERVERS: 'canary.example:11211,canary.example:11212',
    MEMCACHIER_USERNAME: 'canary',
    MEMCACHIER_PASSWORD: 'canary-password',
    PORT: '4000',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'debug',
    TRUST_PROXY: 'loopback,10.0.0.0/8',
    ADMIN_PASSWORD: 'canary password of mine',
    METRICS_KEY: 'canary-metrics',
    ALERT_WEBHOOK_URL: 'https://hooks.example/canary',
    SMTP_URL: 'smtp://canary:canary@mail.example',
    ALERT_EMAIL_TO: 'a@canary.example,b@canary.example',
    INSTAGRAM_APP_ID: '123',
    INSTAGRAM_APP_SECRET: '0123456789canary',
    INSTAGRAM_SCOPES: 'instagram_business_basic,instagram_business_manage_comments',
    INSTAGRAM_GRAPH_URL: 'https://graph.canary.example',
    INSTAGRAM_API_URL: 'https://api.canary.example',
    INSTAGRAM_WEB_URL: 'https://web.canary.example',
    THREADS_STARTING_TOKEN: 'THAAcanary',
    THREADS_APP_ID: '456',
    THREADS_APP_SECRET: '1123456789canary',
    THREADS_SCOPES: 'threads_basic,threads_manage_insights',
    THREADS_GRAPH_URL: 'https://graph.canary.example',
    THREADS_WEB_URL: 'https://web.canary.example',
    FACEBOOK_STARTING_TOKEN: 'EAAcanary',
    FACEBOOK_APP_ID: '789',
    FACEBOOK_APP_SECRET: '2123456789canary',
    FACEBOOK_SCOPES: 'instagram_basic,pages_show_list',
    FACEBOOK_CONFIG_ID: '5550123',
    FACEBOOK_GRAPH_VERSION: 'v25.0',
    FACEBOOK_OBJECT_ID: '17841',
    FACEBOOK_GRAPH_URL: 'https://graph.canary.example',
    FACEBOOK_WEB_URL: 'https://web.canary.example',
    TIKTOK_REFRESH_TOKEN: 'rft.canary',
    TIKTOK_CLIENT_KEY: 'awcanary',
    TIKTOK_CLIENT_SECRET: '2123456789canary',
    TIKTOK_SCOPES: 'user.info.basic,video.list',
    TIKTOK_APP_KIND: 'web',
    TIKTOK_API_URL: 'https://api.canary.example',
    TIKTOK_WEB_URL: 'https://web.canary.example',
  }
  const shown = (config: Config) =>
    JSON.stringify({ ...config, warnings: null, otherKeySpellings: null }, (_, value) => (value instanceof Set ? [...value] : value)) +
    [config.seeds[0]?.token, config.webhookSecret, config.adminPassword, config.metricsKey, ...config.serverKeys].map((one) =>
      one?.reveal(),
    ) +
    (config.database.kind === 'postgres' ? config.database.url.reveal() : '')
  const expected = readConfig(plain)
  t.match(expected.warnings, [{ text: /^TIKTOK_REFRESH_TOKEN: TikTok voids this token at its first use/ }])
  t.same(Object.keys(plain).sort(), [...VARIABLES].sort(), 'every variable is covered')
  const quotings: ((value: string) => string)[] = [
    ...['""', "''", '``', '“”', '‘’', '«»'].map((pair) => (value: string) => `${pair[0]}${value}${pair[1]}`),
    (value) => ` " ${value} " `,
    (value) => `"'${value}'"`,
    (value) =>
      value.includes(',')
        ? value
            .split(',')
            .map((one) => `"${one}"`)
            .join(',')
        : `"${value}"`,
  ]
  for (const quoting of quotings) {
    const quoted = Object.fromEntries(Object.entries(plain).map(([name, value]) => [name, quoting(value)]))
    const config = readConfig(quoted)
    t.equal(shown(config), shown(expected), quoting('value,value'))
    t.same(new Set(config.warnings.map(({ text }) => text.split(':')[0])), new Set(VARIABLES), 'each is named')
    t.notMatch(config.warnings.map(({ text }) => text).join(), /canary/i)
  }
  const empty = Object.fromEntries(VARIABLES.map((name) => [name, '""']))
  t.same(shown(readConfig(empty)), shown(readConfig({})), 'empty quotes count as unset')
})

t.test('a value that the release before accepted is a warning, not a problem', async (t) => {
  const warned: [Record<string, string>, RegExp][] = [
    [{ SERVER_KEYS: '"123456"' }, /^SERVER_KEYS: stands in quotes/],
    [{ ADMIN_PASSWORD: '"123456"' }, /^ADMIN_PASSWORD: stands in quotes/],
    [{ STARTING_TOKEN: 'EAABsomething' }, /^STARTING_TOKEN: is one of Facebook Login.*It is not used/],
    [{ STARTING_TOKEN: `THAA${'x'.repeat(40)}` }, /^STARTING_TOKEN: is one of Threads.*It is not used/],
    [{ THREADS_STARTING_TOKEN: `IGAA${'x'.repeat(40)}` }, /^THREADS_STARTING_TOKEN: is one of Instagram.*It is not used/],
    [{ TIKTOK_REFRESH_TOKEN: `act.${'x'.repeat(40)}` }, /^TIKTOK_REFRESH_TOKEN: is an access token.*It is not used/],
    [{ STARTING_TOKEN: 'https://graph.instagram.com/me' }, /^STARTING_TOKEN: is an address/],
    [
      { STARTING_TOKEN: 'a password of mine'.replaceAll(' ', '-'), ADMIN_PASSWORD: 'a-password-of-mine' },
      /^STARTING_TOKEN: is the value of ADMIN_PASSWORD/,
    ],
    [{ ALLOWED_DOMAINS: '*.squarespace.com' }, /^ALLOWED_DOMAINS: `\*\.squarespace\.com` allows everybody’s site.*next release refuses/],
    [{ ALLOWED_DOMAINS: 'shop.example https://*.wordpress.com:8443' }, /^ALLOWED_DOMAINS: `\*\.wordpress\.com`/],
    [{ ALLOWED_DOMAINS: 'sites.google.com' }, /^ALLOWED_DOMAINS: `https:\/\/sites\.google\.com` is the origin of other people/],
    [{ ALLOWED_DOMAINS: 'https://localhost' }, /^ALLOWED_DOMAINS: `https:\/\/localhost`/],
  ]
  for (const [env, says] of warned) t.match(readConfig(env).warnings[0]?.text, says, JSON.stringify(env))
  for (const ALLOWED_DOMAINS of ['shop.squarespace.com', '*.shop.wordpress.com', 'localhost:8080', 'squarespace.com.example'])
    t.same(readConfig({ ALLOWED_DOMAINS }).warnings, [], ALLOWED_DOMAINS)
})

t.test('only the owner sees the warning of a weak password', async (t) => {
  for (const ADMIN_PASSWORD of ['12345678', 'elevenchars', 'qwerty123456', 'QWERTY123456', 'leavemealone', 'é'.repeat(11)]) {
    const { warnings } = readConfig({ ADMIN_PASSWORD })
    t.match(warnings, [{ forOwner: true, text: /^ADMIN_PASSWORD: (has fewer than 12|is one of the 100,000)/ }], ADMIN_PASSWORD)
  }
  t.match(readConfig({ ADMIN_PASSWORD: 'two lines\nof it all' }).warnings, [{ forOwner: true, text: /line break/ }])
  for (const ADMIN_PASSWORD of ['twelve chars', 'correct horse battery', 'x'.repeat(1024)])
    t.same(readConfig({ ADMIN_PASSWORD }).warnings, [])
})

t.test('a printed configuration shows no secret', async (t) => {
  const config: Config = readConfig({
    ...POSTGRES,
    DATABASE_URL: 'postgres://me:canary-1@db.example/agent',
    ENCRYPTION_KEY: 'canary-2'.repeat(4),
    STARTING_TOKEN: 'canary-3',
    SERVER_KEYS: 'canary-4',
    WEBHOOK_SECRET: 'canary-5',
    ADMIN_PASSWORD: 'canary-6',
    METRICS_KEY: 'canary-7',
    MEMCACHIER_SERVERS: 'localhost:11211',
    MEMCACHIER_USERNAME: 'me',
    MEMCACHIER_PASSWORD: 'canary-8',
    ALERT_WEBHOOK_URL: 'https://hooks.example/canary-9',
    SMTP_URL: 'smtps://me:canary-10@mail.example',
    ALERT_EMAIL_TO: 'me@example.com',
    INSTAGRAM_APP_ID: '1',
    INSTAGRAM_APP_SECRET: 'canary-0',
    THREADS_STARTING_TOKEN: 'canary-10',
    THREADS_APP_ID: '2',
    THREADS_APP_SECRET: 'canary-11',
    FACEBOOK_STARTING_TOKEN: 'canary-12',
    FACEBOOK_APP_ID: '3',
    FACEBOOK_APP_SECRET: 'canary-13',
    TIKTOK_REFRESH_TOKEN: 'canary-14',
    TIKTOK_CLIENT_KEY: 'aw1234567890',
    TIKTOK_CLIENT_SECRET: 'canary-15',
  })
  const { inspect } = await import('node:util')
  t.notMatch(JSON.stringify(config) + inspect(config, { depth: 10, showHidden: true }), /canary/)
})

t.test('README and app.json name exactly the existing variables', async (t) => {
  const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
  const deployed = Object.keys(JSON.parse(read('app.json')).env)
  t.same(
    deployed.filter((name) => !(VARIABLES as readonly string[]).includes(name)),
    [],
    'app.json sets nothing unknown',
  )
  const rows = read('README.md')
    .split('\n')
    .filter((line) => /^\| *`[A-Z_]+`/.test(line))
  const listed = rows.flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([A-Z_]+)`/g)].map(([, name]) => name ?? ''))
  t.same(listed.toSorted(), [...VARIABLES].toSorted(), 'the README’s table lists each one once')
})
