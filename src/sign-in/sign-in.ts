import type { AccountEvent, AccountStore } from '../core/account-store.ts'
import type { InstallationStore } from '../core/installation.ts'
import type { Log } from '../core/log.ts'
import { Secret } from '../core/secret.ts'
import { isMarked, marked, type Place, tryOpen, type Vault } from '../core/vault.ts'
import type { Draw } from './draw.ts'
import type { KnownDevices } from './known-devices.ts'
import type { PasswordCheck } from './password.ts'
import { WRONG_A_DAY } from './report-guesses.ts'
import type { SessionStore, WrongPasswords } from './session-store.ts'

export interface SignInDeps {
  readonly sessions: SessionStore
  readonly installation: Pick<InstallationStore, 'signOutEverywhere'>
  readonly store: Pick<AccountStore, 'record' | 'nowMs'>
  readonly vault: Vault
  readonly password: PasswordCheck
  readonly draw: Draw
  readonly devices: KnownDevices
  readonly wrongPasswords: WrongPasswords
  readonly log: Log
  /** 256 random bits as text, and a hash of a text: what a browser holds is never stored as it is. */
  readonly randomId: () => string
  readonly hash: (text: string) => string
}

/** What a browser sends to sign in. */
export interface SignInForm {
  readonly password: string | null
  /** What was typed before, sealed by the agent: a browser without script sends it instead. */
  readonly again: string | null
  readonly device: string | null
  readonly ticket: string | null
}

export type SignInResult =
  /** `session` and `device` are for the browser to keep. */
  | { readonly outcome: 'signed_in'; readonly session: string; readonly device: string }
  | { readonly outcome: 'refused' }
  /** `again` came too late, or is none of ours. */
  | { readonly outcome: 'type_again' }
  /** Others were drawn, and this password was not looked at. */
  | { readonly outcome: 'wait'; readonly ticket: string; readonly again: string }

const SESSION = 'session'
const UNMARKED = /^[\w-]{43}$/
const AGAIN: Place = { table: 'cookies', row: 'sign-in form', column: 'password' }
const AGAIN_MS = 60_000
/** As much of the history as a person reads; a guesser makes 300,000 a day. */
const EVENTS_A_DAY = 100

const event = (kind: 'signed_in' | 'sign_in_failed' | 'signed_out', detail: string): AccountEvent => ({
  account: null,
  kind,
  actor: 'owner',
  outcome: kind === 'sign_in_failed' ? 'failed' : 'ok',
  detail,
})

/**
 * Strangers draw for the next look, over all instances together. A browser that was signed in before has tries of its
 * own, so that the owner there does not wait while strangers guess.
 */
export async function signIn(deps: SignInDeps, form: SignInForm): Promise<SignInResult> {
  const password = form.password ?? openAgain(deps, form.again)
  if (password === null) return { outcome: 'type_again' }
  const known = await deps.devices.takeTry(form.device)
  if (known === null) {
    const turn = await deps.draw.enter(form.ticket)
    if (!turn.drawn) return { outcome: 'wait', ticket: turn.ticket, again: sealAgain(deps, password) }
  }
  if (!deps.password.matches(password)) {
    await countWrong(deps)
    return { outcome: 'refused' }
  }
  // A new id each time: one that another person put into this browser is worth nothing.
  const session = marked(deps.vault, SESSION, deps.randomId())
  const id = deps.hash(session)
  const since = await deps.sessions.create(id, deps.vault.seal(new Secret(deps.password.credential), credentialPlace(id)))
  await deps.store.record(event('signed_in', known === null ? 'From a browser that was not signed in before.' : 'From a known browser.'))
  return { outcome: 'signed_in', session, device: await deps.devices.remember(known, since) }
}

async function countWrong({ wrongPasswords, store, log }: SignInDeps): Promise<void> {
  const count = await wrongPasswords.add()
  if (count === WRONG_A_DAY) log.warn({ count }, `${WRONG_A_DAY} wrong passwords were given at the sign-in within a day`)
  if (count <= EVENTS_A_DAY) await store.record(event('sign_in_failed', 'A wrong password was given.'))
  else if (count % WRONG_A_DAY === 0) await store.record(event('sign_in_failed', `${count} wrong passwords were given within a day.`))
}

function sealAgain({ vault, store }: SignInDeps, password: string): string {
  return vault.seal(new Secret(`${Math.round(store.nowMs())} ${password}`), AGAIN)
}

function openAgain({ vault, store }: SignInDeps, sealed: string | null): string | null {
  const text = sealed === null ? null : (tryOpen(vault, sealed, AGAIN)?.reveal() ?? null)
  if (text === null) return null
  const blank = text.indexOf(' ')
  return store.nowMs() - Number(text.slice(0, blank)) > AGAIN_MS ? null : text.slice(blank + 1)
}

/** The id of the session that this browser holds, or null where it holds none that is alive. */
export async function findSession(deps: SignInDeps, session: string | null, by: 'person' | 'page' = 'person'): Promise<string | null> {
  if (session === null || deps.password.mode === 'off') return null
  const id = deps.hash(session)
  if (!isMarked(deps.vault, SESSION, session)) {
    // Those of the release before have no mark, and it may be at work beside this one: all of them are looked up at once.
    if (!UNMARKED.test(session) || !(await deps.sessions.isListed(id))) return null
  }
  const credential = await (by === 'person' ? deps.sessions.touch(id) : deps.sessions.peek(id))
  if (credential === null) return null
  return tryOpen(deps.vault, credential, credentialPlace(id))?.reveal() === deps.password.credential ? id : null
}

export async function signOut(deps: SignInDeps, id: string, everywhere: boolean): Promise<void> {
  if (everywhere) {
    await deps.installation.signOutEverywhere()
    await deps.sessions.endAll()
  } else await deps.sessions.end(id)
  await deps.store.record(event('signed_out', everywhere ? 'In every browser.' : 'In one browser.'))
}

function credentialPlace(id: string): Place {
  return { table: 'sessions', row: id, column: 'credential' }
}
