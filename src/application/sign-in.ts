import type { AccountEvent, AccountStore } from '../domain/account-store.ts'
import { Secret } from '../domain/secret.ts'
import type { SessionStore, SignInAttempts } from '../domain/session-store.ts'
import { type Place, tryOpen, type Vault } from '../domain/vault.ts'
import type { PasswordCheck } from './password.ts'

export interface SignInDeps {
  readonly sessions: SessionStore
  readonly attempts: SignInAttempts
  readonly store: Pick<AccountStore, 'record'>
  readonly vault: Vault
  readonly password: PasswordCheck
  /** 256 random bits as text, and a hash of a text: what a browser holds is never stored as it is. */
  readonly randomId: () => string
  readonly hash: (text: string) => string
}

export type SignInResult =
  /** `session` and `device` are for the browser to keep. */
  | { readonly outcome: 'signed_in'; readonly session: string; readonly device: string }
  | { readonly outcome: 'refused' }
  /** Nothing was looked at. */
  | { readonly outcome: 'wait'; readonly seconds: number }

const DEVICE: Place = { table: 'cookies', row: 'device', column: 'id' }
const event = (kind: 'signed_in' | 'sign_in_failed' | 'signed_out', detail: string): AccountEvent => ({
  account: null,
  kind,
  actor: 'owner',
  outcome: kind === 'sign_in_failed' ? 'failed' : 'ok',
  detail,
})

/**
 * Guesses are slowed for everybody together. A browser that was signed in before is counted by itself, so that
 * strangers who guess all day cannot keep the owner waiting all day.
 */
export async function signIn(deps: SignInDeps, password: string, device: string | null): Promise<SignInResult> {
  const known = device === null ? null : (tryOpen(deps.vault, device, DEVICE)?.reveal() ?? null)
  const source = known === null ? 'everybody' : `device ${deps.hash(known)}`
  const turn = await deps.attempts.begin(source)
  if (!turn.allowed) return { outcome: 'wait', seconds: turn.waitSeconds }
  if (!deps.password.matches(password)) {
    await deps.store.record(event('sign_in_failed', 'A wrong password was given.'))
    return { outcome: 'refused' }
  }
  await deps.attempts.succeed(source)
  // A new id each time: one that somebody else put into this browser is worth nothing.
  const session = deps.randomId()
  const id = deps.hash(session)
  await deps.sessions.create(id, deps.vault.seal(new Secret(deps.password.credential), credentialPlace(id)))
  await deps.store.record(event('signed_in', known === null ? 'From a browser that was not signed in before.' : 'From a known browser.'))
  return { outcome: 'signed_in', session, device: deps.vault.seal(new Secret(known ?? deps.randomId()), DEVICE) }
}

/** The id of the session that this browser holds, or null where it holds none that is alive. */
export async function findSession(deps: SignInDeps, session: string | null, by: 'person' | 'page' = 'person'): Promise<string | null> {
  if (session === null || deps.password.mode === 'off') return null
  const id = deps.hash(session)
  const credential = await (by === 'person' ? deps.sessions.touch(id) : deps.sessions.peek(id))
  if (credential === null) return null
  return tryOpen(deps.vault, credential, credentialPlace(id))?.reveal() === deps.password.credential ? id : null
}

export async function signOut(deps: SignInDeps, id: string, everywhere: boolean): Promise<void> {
  if (everywhere) await deps.sessions.endAll()
  else await deps.sessions.end(id)
  await deps.store.record(event('signed_out', everywhere ? 'In every browser.' : 'In one browser.'))
}

function credentialPlace(id: string): Place {
  return { table: 'sessions', row: id, column: 'credential' }
}
