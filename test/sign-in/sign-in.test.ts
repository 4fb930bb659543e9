import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import type { AccountStore } from '../../src/core/account-store.ts'
import { randomId } from '../../src/core/digest.ts'
import type { Log } from '../../src/core/log.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Vault } from '../../src/core/vault.ts'
import { createKnownDevices, type KnownDevices } from '../../src/sign-in/known-devices.ts'
import { createPasswordCheck } from '../../src/sign-in/password.ts'
import { reportGuesses } from '../../src/sign-in/report-guesses.ts'
import type { WrongPasswords } from '../../src/sign-in/session-store.ts'
import { createSignIn, type SignIn } from '../../src/sign-in/sign-in.ts'
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
const NOTHING = { password: null, again: null, device: null, ticket: null }

interface World {
  readonly signIn: SignIn
  readonly devices: KnownDevices
  readonly store: AccountStore
  readonly vault: Vault
  readonly wrongPasswords: WrongPasswords
  readonly log: Log
  readonly db: Database
  readonly warned: string[]
  /** The number of queries. */
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
  const wrongPasswords = createWrongPasswords(db)
  const log = { info: () => {}, warn: (_details: object, message: string) => void warned.push(message) }
  const signIn = createSignIn({
    sessions: createSessionStore(db),
    installation: createInstallationStore(db),
    store,
    vault,
    password,
    // Every draw is won: these tests start after it.
    attempts: { ...attempts, takeTurn: async () => ({ taken: true }) },
    drawTime: { clockMs: () => 0, sleep: async () => {}, random: Math.random },
    wrongPasswords,
    log,
  })
  const devices = createKnownDevices({ attempts, vault, credential: password.credential })
  const asked = async (work: () => Promise<unknown>): Promise<number> => {
    questions = 0
    await work()
    return questions
  }
  return { signIn, devices, store, vault, wrongPasswords, log, db, warned, asked }
}

t.test('a made-up session is refused without a query, and unmarked ones of the previous release share one list', async (t) => {
  const { signIn, asked } = await createWorld(t)
  const result = await signIn.enter({ ...NOTHING, password: PASSWORD })
  if (result.outcome !== 'signed_in') return t.fail('not signed in')
  const { session, device } = result
  t.type(await signIn.findSession(session), 'string')
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
  for (const one of made) t.equal(await asked(async () => t.equal(await signIn.findSession(one), null, one)), 0, one)
  const unmarked = Array.from({ length: 500 }, () => signIn.findSession(randomId()))
  t.ok((await asked(() => Promise.all(unmarked))) <= 1)
  t.ok((await asked(async () => Promise.all(Array.from({ length: 500 }, () => signIn.findSession(randomId()))))) <= 1)
})

t.test('a made-up device cookie costs no query, and a stolen one gives five guesses', async (t) => {
  const { devices, store, vault, asked } = await createWorld(t)
  const cookie = await devices.remember(null, new Date(store.nowMs()))
  const old = vault.seal(new Secret(randomId()), { table: 'cookies', row: 'device', column: 'id' })
  for (const made of [null, '', 'x', `${cookie}x`, cookie.slice(1), old])
    t.equal(await asked(async () => t.equal(await devices.takeTry(made), null)), 0)
  const tries = await Promise.all(Array.from({ length: 20 }, () => devices.takeTry(cookie)))
  t.equal(tries.filter((known) => known !== null).length, 5)
  t.equal(await asked(() => Promise.all(Array.from({ length: 100 }, () => devices.takeTry(cookie)))), 0)
  const other = createKnownDevices({
    attempts: createSignInAttempts(await openSqlite(':memory:')),
    vault,
    credential: 'another password',
  })
  t.equal(await other.takeTry(cookie), null, 'a new password ends it')
})

t.test('a thousand wrong passwords cause a warning, one alert and few events', async (t) => {
  const { signIn, wrongPasswords, log, db, warned } = await createWorld(t)
  const alerts: Alert[] = []
  let isDown = true
  const send = async (alert: Alert): Promise<void> => {
    if (isDown) throw new Error('down')
    alerts.push(alert)
  }
  const report = () => reportGuesses({ wrongPasswords, send, log })
  for (let n = 0; n < 999; n++) await signIn.enter({ ...NOTHING, password: `guess ${n}` })
  await report()
  t.strictSame(warned, [])
  for (let n = 0; n < 3; n++) await signIn.enter({ ...NOTHING, password: `guess ${n}` })
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
