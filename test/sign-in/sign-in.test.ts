import { createHash, randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import { Secret } from '../../src/core/secret.ts'
import { createDraw } from '../../src/sign-in/draw.ts'
import { createKnownDevices } from '../../src/sign-in/known-devices.ts'
import { createPasswordCheck } from '../../src/sign-in/password.ts'
import { reportGuesses } from '../../src/sign-in/report-guesses.ts'
import { findSession, type SignInDeps, signIn } from '../../src/sign-in/sign-in.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import type { Database } from '../../src/storage/database.ts'
import { createInstallationStore } from '../../src/storage/installation.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { createSessionStore } from '../../src/storage/session-store.ts'
import { createSignInAttempts, createWrongPasswords } from '../../src/storage/sign-in-attempts.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { createVault } from '../../src/storage/vault.ts'
import { MIGRATIONS } from '../storage/engines.ts'

const PASSWORD = 'a password for the owner'
const randomId = (): string => randomBytes(32).toString('base64url')
const hash = (text: string): string => createHash('sha256').update(text).digest('base64url')
const NOTHING = { password: null, again: null, device: null, ticket: null }

interface World {
  readonly deps: SignInDeps
  readonly db: Database
  readonly warned: string[]
  /** How often the store was asked. */
  asked(work: () => Promise<unknown>): Promise<number>
}

async function createWorld(t: Test): Promise<World> {
  const real = await openSqlite(':memory:')
  t.teardown(() => real.close())
  await migrate(real, MIGRATIONS)
  let questions = 0
  const db: Database = {
    ...real,
    query: (sql, params) => {
      questions++
      return real.query(sql, params)
    },
  }
  const [vault, attempts, store] = [createVault(['a key']), createSignInAttempts(db), createAccountStore(db)]
  const password = createPasswordCheck(new Secret(PASSWORD))
  const warned: string[] = []
  const deps: SignInDeps = {
    sessions: createSessionStore(db),
    installation: createInstallationStore(db),
    store,
    vault,
    password,
    // A turn each time: this is about what comes after the draw.
    draw: createDraw({
      attempts: { ...attempts, takeTurn: async () => ({ taken: true }) },
      vault,
      nowMs: () => store.nowMs(),
      randomId,
      time: { clockMs: () => 0, sleep: async () => {}, random: Math.random },
    }),
    devices: createKnownDevices({ attempts, vault, credential: password.credential, hash, randomId }),
    wrongPasswords: createWrongPasswords(db),
    log: { info: () => {}, warn: (_details, message) => void warned.push(message) },
    randomId,
    hash,
  }
  const asked = async (work: () => Promise<unknown>): Promise<number> => {
    questions = 0
    await work()
    return questions
  }
  return { deps, db, warned, asked }
}

t.test('a made-up session is refused without the store, and those of the release before are looked up all at once', async (t) => {
  const { deps, asked } = await createWorld(t)
  const result = await signIn(deps, { ...NOTHING, password: PASSWORD })
  if (result.outcome !== 'signed_in') return t.fail('not signed in')
  const { session, device } = result
  t.type(await findSession(deps, session), 'string')
  const made = [
    '',
    'x',
    `${session}0`,
    session.slice(0, -1),
    session.toUpperCase(),
    device,
    randomId() + randomBytes(16).toString('hex'),
    'é'.repeat(75),
  ]
  for (const one of made) t.equal(await asked(async () => t.equal(await findSession(deps, one), null, one)), 0, one)
  const unmarked = Array.from({ length: 500 }, () => findSession(deps, randomId()))
  t.ok((await asked(() => Promise.all(unmarked))) <= 1)
  t.ok((await asked(async () => Promise.all(Array.from({ length: 500 }, () => findSession(deps, randomId()))))) <= 1)
})

t.test('a device cookie that is made up is no question, and a stolen one is five guesses', async (t) => {
  const { deps, asked } = await createWorld(t)
  const { devices } = deps
  const cookie = await devices.remember(null, new Date(deps.store.nowMs()))
  const old = deps.vault.seal(new Secret(randomId()), { table: 'cookies', row: 'device', column: 'id' })
  for (const made of [null, '', 'x', `${cookie}x`, cookie.slice(1), old])
    t.equal(await asked(async () => t.equal(await devices.takeTry(made), null)), 0)
  const tries = await Promise.all(Array.from({ length: 20 }, () => devices.takeTry(cookie)))
  t.equal(tries.filter((known) => known !== null).length, 5)
  t.equal(await asked(() => Promise.all(Array.from({ length: 100 }, () => devices.takeTry(cookie)))), 0)
  const other = createKnownDevices({
    attempts: createSignInAttempts(await openSqlite(':memory:')),
    vault: deps.vault,
    credential: 'another password',
    hash,
    randomId,
  })
  t.equal(await other.takeTry(cookie), null, 'it ends with the password')
})

t.test('a thousand wrong passwords are a warning and one alert, and few events', async (t) => {
  const { deps, db, warned } = await createWorld(t)
  const alerts: Alert[] = []
  let isDown = true
  const send = async (alert: Alert): Promise<void> => {
    if (isDown) throw new Error('down')
    alerts.push(alert)
  }
  const report = () => reportGuesses({ wrongPasswords: deps.wrongPasswords, send, log: deps.log })
  for (let n = 0; n < 999; n++) await signIn(deps, { ...NOTHING, password: `guess ${n}` })
  await report()
  t.strictSame(warned, [])
  for (let n = 0; n < 3; n++) await signIn(deps, { ...NOTHING, password: `guess ${n}` })
  t.strictSame(warned, ['1000 wrong passwords were given at the sign-in within a day'])
  await report()
  isDown = false
  await db.query("update sign_in_attempts set blocked_until = last_at where source = 'wrong passwords told'")
  await report()
  await report()
  t.match(alerts, [{ event: 'password_guessed_at', account: null, state: null, message: /^1002 wrong passwords.*ADMIN_PASSWORD/ }])
  t.equal(alerts.length, 1)
  const [events] = await db.query<{ n: number }>("select count(*) as n from events where kind = 'sign_in_failed'")
  t.equal(events?.n, 101)
})
