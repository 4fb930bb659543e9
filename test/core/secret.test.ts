import { Writable } from 'node:stream'
import { format, inspect } from 'node:util'
import pino from 'pino'
import t from 'tap'
import { Secret } from '../../src/core/secret.ts'

const CANARY = 'IGAAcanary0123456789'
const secret = new Secret(CANARY)

t.test('reveal() returns the value', async (t) => {
  t.equal(secret.reveal(), CANARY)
})

t.test('prints as [secret] in every text', async (t) => {
  const held = { account: { token: secret, list: [secret] } }
  const error = new Error('failed', { cause: secret })
  const texts = {
    template: `${secret}`,
    join: [secret].join(),
    String: String(secret),
    JSON: JSON.stringify(held),
    inspect: inspect(secret),
    'inspect with everything on': inspect(held, { showHidden: true, depth: Infinity, getters: true }),
    format: format('%s %o %O %j', secret, secret, secret, held),
    'an error that has it as its cause': inspect(error, { showHidden: true }),
    'an error that has it as a property': inspect(Object.assign(new Error('failed'), held)),
    'an error made of it': new Error(String(secret)).stack ?? '',
  }
  for (const [way, text] of Object.entries(texts)) {
    t.equal(text.includes('canary'), false, way)
    t.match(text, /\[secret\]/, way)
  }
})

t.test('is in no log line', async (t) => {
  let lines = ''
  const log = pino(
    { level: 'trace' },
    new Writable({
      write(chunk, _encoding, done) {
        lines += chunk
        done()
      },
    }),
  )
  log.info(secret, 'the secret itself')
  log.info({ token: secret, nested: { tokens: [secret] } }, 'a property')
  log.info('a message with %s, %j and %o', secret, { secret }, secret)
  log.error(new Error('failed', { cause: secret }), 'a cause')
  log.error({ err: Object.assign(new Error('failed'), { token: secret }) }, 'a property of an error')
  log.child({ token: secret }).info('a binding')
  t.equal(lines.trim().split('\n').length, 6)
  t.equal(lines.includes('canary'), false)
})

t.test('no property, own or inherited, holds the value', async (t) => {
  t.same(Reflect.ownKeys(secret), [])
  t.same({ ...secret }, {})
  t.equal(inspect(structuredClone({ copy: secret })).includes('canary'), false)
  t.equal(
    Object.getOwnPropertyNames(Secret.prototype)
      .filter((name) => !['constructor', 'toString', 'toJSON'].includes(name))
      .join(),
    'reveal',
  )
})
