import type { AccountEvent, AccountStore } from '../core/account-store.ts'
import { digest, randomId } from '../core/digest.ts'
import type { InstallationStore } from '../core/installation.ts'
import type { Log } from '../core/log.ts'
import { Secret } from '../core/secret.ts'
import { isMarked, marked, type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import { createDraw, type DrawTime } from './draw.ts'
import { createKnownDevices } from './known-devices.ts'
import type { PasswordCheck } from './password.ts'
import { WRONG_A_DAY } from './report-guesses.ts'
import type { SessionStore, SignInAttempts, WrongOfDay, WrongPasswords } from './session-store.ts'

/** Sign-in, sessions and sign-out of the owner. */
export interface SignIn {
  /** The kind of password, and whether a one-time password has been used. */
  readonly password: Pick<PasswordCheck, 'mode' | 'isSpent'>
  /**
   * Sign-ins of unknown browsers take part in a draw over all instances. A known browser has tries of its own, so that
   * the owner does not wait while strangers guess.
   */
  enter(form: SignInForm): Promise<SignInResult>
  /** The id of the browser's session, or null if it has none that is alive. */
  findSession(session: string | null, by?: 'person' | 'page'): Promise<string | null>
  leave(id: string, everywhere: boolean): Promise<void>
  wrongOfDay(): Promise<WrongOfDay | null>
}

interface Deps {
  readonly sessions: SessionStore
  readonly attempts: SignInAttempts
  readonly wrongPasswords: WrongPasswords
  readonly installation: Pick<InstallationStore, 'signOutEverywhere'>
  readonly store: Pick<AccountStore, 'record' | 'nowMs'>
  readonly vault: Vault
  readonly password: PasswordCheck
  readonly log: Log
  readonly drawTime?: DrawTime
}

/** What a browser sends to sign in. */
export interface SignInForm {
  readonly password: string | null
  /** The password typed before, sealed by the agent: a browser without script sends it instead of `password`. */
  readonly again: string | null
  readonly device: string | null
  readonly ticket: string | null
}

export type SignInResult =
  /** `session` and `device` are values of cookies. */
  | { readonly outcome: 'signed_in'; readonly session: string; readonly device: string }
  | { readonly outcome: 'refused' }
  /** `again` is older than `AGAIN_MS`, or does not open. */
  | { readonly outcome: 'type_again' }
  /** Another sign-in was drawn, and this password was not checked. */
  | { readonly outcome: 'wait'; readonly ticket: string; readonly again: string }

const SESSION = 'session'
const UNMARKED = /^[\w-]{43}$/
const AGAIN: SealContext = { table: 'cookies', row: 'sign-in form', column: 'password' }
const AGAIN_MS = 60_000
/** As many events as a person reads; a guesser makes 300,000 tries a day. */
const EVENTS_A_DAY = 100

const event = (kind: 'signed_in' | 'sign_in_failed' | 'signed_out', detail: string): AccountEvent => ({
  account: null,
  kind,
  actor: 'owner',
  outcome: kind === 'sign_in_failed' ? 'failed' : 'ok',
  detail,
})

export function createSignIn(deps: Deps): SignIn {
  const { sessions, attempts, wrongPasswords, installation, store, vault, password, log, drawTime } = deps
  const draw = createDraw({ attempts, vault, nowMs: () => store.nowMs(), ...(drawTime === undefined ? {} : { time: drawTime }) })
  const devices = createKnownDevices({ attempts, vault, credential: password.credential })

  async function enter(form: SignInForm): Promise<SignInResult> {
    const typed = form.password ?? openAgain(form.again)
    if (typed === null) return { outcome: 'type_again' }
    const known = await devices.takeTry(form.device)
    if (known === null) {
      const turn = await draw.enter(form.ticket)
      if (!turn.drawn) return { outcome: 'wait', ticket: turn.ticket, again: sealAgain(typed) }
    }
    if (!password.matches(typed)) {
      await countWrong()
      return { outcome: 'refused' }
    }
    // A new id at each sign-in prevents session fixation.
    const session = marked(vault, SESSION, randomId())
    const id = digest(session)
    const since = await sessions.create(id, vault.seal(new Secret(password.credential), credentialContext(id)))
    await store.record(event('signed_in', known === null ? 'From a browser that was not signed in before.' : 'From a known browser.'))
    return { outcome: 'signed_in', session, device: await devices.remember(known, since) }
  }

  async function countWrong(): Promise<void> {
    const count = await wrongPasswords.add()
    if (count === WRONG_A_DAY) log.warn({ count }, `${WRONG_A_DAY} wrong passwords were given at the sign-in within a day`)
    if (count <= EVENTS_A_DAY) await store.record(event('sign_in_failed', 'A wrong password was given.'))
    else if (count % WRONG_A_DAY === 0) await store.record(event('sign_in_failed', `${count} wrong passwords were given within a day.`))
  }

  function sealAgain(typed: string): string {
    return vault.seal(new Secret(`${Math.round(store.nowMs())} ${typed}`), AGAIN)
  }

  function openAgain(sealed: string | null): string | null {
    const text = sealed === null ? null : (tryOpen(vault, sealed, AGAIN)?.reveal() ?? null)
    if (text === null) return null
    const blank = text.indexOf(' ')
    return store.nowMs() - Number(text.slice(0, blank)) > AGAIN_MS ? null : text.slice(blank + 1)
  }

  async function findSession(session: string | null, by: 'person' | 'page' = 'person'): Promise<string | null> {
    if (session === null || password.mode === 'off') return null
    const id = digest(session)
    if (!isMarked(vault, SESSION, session)) {
      // Session ids of the previous release are unmarked, and it may run beside this one. The list bounds their look-ups.
      if (!UNMARKED.test(session) || !(await sessions.isListed(id))) return null
    }
    const credential = await (by === 'person' ? sessions.touch(id) : sessions.peek(id))
    if (credential === null) return null
    return tryOpen(vault, credential, credentialContext(id))?.reveal() === password.credential ? id : null
  }

  async function leave(id: string, everywhere: boolean): Promise<void> {
    if (everywhere) {
      await installation.signOutEverywhere()
      await sessions.endAll()
    } else await sessions.end(id)
    await store.record(event('signed_out', everywhere ? 'In every browser.' : 'In one browser.'))
  }

  return { password, enter, findSession, leave, wrongOfDay: () => wrongPasswords.ofDay() }
}

function credentialContext(id: string): SealContext {
  return { table: 'sessions', row: id, column: 'credential' }
}
