import t from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { createKnownSecrets } from '../../src/config/known-secrets.ts'
import { isOneOf } from '../../src/core/keys.ts'
import { Secret } from '../../src/core/secret.ts'
import { processorMs } from '../support/stopwatch.ts'

const ENV = {
  DATABASE_URL: 'postgres://agent:db%20word@db.example/agent',
  ENCRYPTION_KEY: 'key-one-0123456789abcdef,key-two-0123456789abcdef',
  ADMIN_PASSWORD: 'correct horse battery',
  SERVER_KEYS: 'server-key-1 server-key-2',
  METRICS_KEY: 'metrics-key',
  WEBHOOK_SECRET: 'webhook-secret',
  MEMCACHIER_SERVERS: 'mc.example:11211',
  MEMCACHIER_USERNAME: 'mcuser',
  MEMCACHIER_PASSWORD: 'mcpw',
  ALERT_WEBHOOK_URL: 'https://hooks.example/services/T0/B0/0123456789abcdefghij',
  SMTP_URL: 'smtp://agent:a%20mail%20password@mail.example',
  ALERT_EMAIL_TO: 'me@example.com',
  INSTAGRAM_APP_ID: '1',
  INSTAGRAM_APP_SECRET: '0123456789abcdef0123456789abcdef',
  STARTING_TOKEN: 'IGAAseedseedseedseedseed',
}
const SECRETS: [name: string, value: string][] = [
  ['DATABASE_URL', ENV.DATABASE_URL],
  ['DATABASE_URL', 'db word'],
  ['DATABASE_URL', 'db%20word'],
  ['ENCRYPTION_KEY', 'key-one-0123456789abcdef'],
  ['ENCRYPTION_KEY', 'key-two-0123456789abcdef'],
  ['ADMIN_PASSWORD', ENV.ADMIN_PASSWORD],
  ['SERVER_KEYS', 'server-key-1'],
  ['SERVER_KEYS', 'server-key-2'],
  ['METRICS_KEY', ENV.METRICS_KEY],
  ['WEBHOOK_SECRET', ENV.WEBHOOK_SECRET],
  ['MEMCACHIER_USERNAME', ENV.MEMCACHIER_USERNAME],
  ['MEMCACHIER_PASSWORD', ENV.MEMCACHIER_PASSWORD],
  ['ALERT_WEBHOOK_URL', ENV.ALERT_WEBHOOK_URL],
  ['ALERT_WEBHOOK_URL', '0123456789abcdefghij'],
  ['SMTP_URL', ENV.SMTP_URL],
  ['SMTP_URL', 'a mail password'],
  ['INSTAGRAM_APP_SECRET', ENV.INSTAGRAM_APP_SECRET],
  ['the key file', 'added-0123456789'],
]

const secrets = createKnownSecrets(readConfig(ENV))
secrets.add('the key file', 'added-0123456789')

t.test('each secret of the configuration is recognized: alone, in quotes, as a setting, and cut off', async (t) => {
  for (const [name, value] of SECRETS) {
    const pasted = [value, ` ${value}\n`, `"${value}"`, `“${value}”`, `'${value}'`, `${name}=${value}`, `access_token="${value}"`]
    for (const text of [...pasted, `{"access_token":"${value}"}`, encodeURIComponent(value)]) t.equal(secrets.nameIn(text), name, text)
    if (value.length >= 12) t.equal(secrets.nameIn(`so it is ${value} and nothing else`), name, 'within a text')
    if (value.length >= 12) t.ok(secrets.nameIn(value.slice(0, -2)), 'a piece of it')
    if (value.length >= 8 && !/\s/.test(value)) t.equal(secrets.nameIn(`IGAAx${value}y`), name, 'within a word')
  }
})

t.test('a token is no secret of the configuration, nor is a text with a short word', async (t) => {
  for (const text of [ENV.STARTING_TOKEN, `IGAA${'mcpw'.repeat(40)}`, 'https://graph.instagram.com/mcuser?access_token=IGAAx', 'agent', ''])
    t.equal(secrets.nameIn(text), null, text)
})

t.test('a public field refuses secrets, but accepts a word that is a database’s password', async (t) => {
  t.equal(secrets.nameOf('webhook-secret'), 'WEBHOOK_SECRET')
  t.equal(secrets.nameOf('"metrics-key" '), 'METRICS_KEY')
  for (const text of ['mcuser', 'db word', 'webhook', 'shop']) t.equal(secrets.nameOf(text), null, text)
})

t.test('a client’s key matches with quotes around it, and no other key does', async (t) => {
  const isKey = isOneOf([new Secret('key-of-a-test'), new Secret('another-key')])
  for (const given of ['key-of-a-test', '"key-of-a-test"', "'another-key'"]) t.ok(isKey(given), given)
  for (const given of ['', '""', 'key-of-a-tes', 'key-of-a-test"x', 'another-key,key-of-a-test']) t.notOk(isKey(given), given)
})

t.test('a text of many quotes is parsed quickly', async (t) => {
  const isKey = isOneOf([new Secret('key-of-a-test')])
  const takenMs = processorMs(() => {
    for (let time = 0; time < 200; time++) isKey('"'.repeat(8000))
  })
  t.ok(takenMs < 1000)
})
