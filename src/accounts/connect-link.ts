import type { SendAlert } from '../alerts/alert.ts'
import type { Actor } from '../core/account.ts'
import type { AccountEvent } from '../core/account-store.ts'
import { digest } from '../core/digest.ts'
import { AppError, ConnectError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { Secret } from '../core/secret.ts'
import { tryOpen } from '../core/vault.ts'
import { askName } from '../refreshing/refresh-account.ts'
import { type ConnectDeps, type Connected, connectableOf } from './connected.ts'
import { type Arrival, arrivalOf, type ConnectLink, type LinkStore, linkContext, namesUsers, newSecret } from './links.ts'
import { findAccount, type ManageDeps } from './manage.ts'
import { forSomeSeconds, type NewGrant, saveGrant } from './save-grant.ts'
import { readPending, writePending } from './waiting-grant.ts'

export type LinkDeps = ConnectDeps & ManageDeps & { readonly links: LinkStore }

const MAX_NOTE = 500
const event = (account: string, actor: Actor, detail: string): AccountEvent => ({ account, kind: 'changed', actor, outcome: 'ok', detail })

/** Makes the link and returns its secret, which is not kept. An earlier link of the account ends. */
export async function makeLink(deps: LinkDeps, account: string, { note, username }: { note: string; username: string }): Promise<string> {
  const { provider } = await findAccount(deps, account)
  const { connect } = connectableOf(deps, provider)
  const words = note.trim()
  const expected = username.trim().replace(/^@/, '')
  if (words.length > MAX_NOTE) throw new AppError('invalid', `The words for the client are longer than ${MAX_NOTE} characters.`)
  if (expected !== '' && !(namesUsers(connect) && /^[\w.]{1,60}$/.test(expected)))
    throw new AppError('invalid', 'A user name has letters, digits, dots and underscores only. Leave it empty if you do not know it.')
  const secret = newSecret(deps)
  const link = { id: digest(secret), account, note: words || null, expectedUsername: expected || null }
  if (!(await deps.links.make(link, event(account, 'owner', 'A link for the client was made.'))))
    throw new AppError('not_found', 'This account has just been removed.')
  return secret
}

/** Ends the link of the account. A grant that waits is erased. */
export async function revokeLink({ links }: Pick<LinkDeps, 'links'>, account: string, id: string): Promise<void> {
  const link = await links.of(account)
  const detail =
    link?.state === 'waits' ? 'The permission that came by the link was declined and erased.' : 'The link for the client was revoked.'
  if (link?.id !== id || !(await links.revoke(id, event(account, 'owner', detail)))) throw ended()
}

/** The owner's yes to the grant that waits. */
export async function acceptGrant(deps: LinkDeps, account: string, id: string): Promise<void> {
  const link = await deps.links.of(account)
  if (link?.id !== id || link.state !== 'waits' || link.sealed === null) throw ended()
  const text = tryOpen(deps.vault, link.sealed, linkContext(id))?.reveal()
  if (text === undefined)
    throw new AppError('conflict', 'No key in ENCRYPTION_KEY opens the permission that waits. Put the key back, or make another link.')
  if (!(await takeGrant(deps, link, { given: readPending(text), by: null }))) throw ended()
}

const ended = (): AppError => new AppError('conflict', 'This link has ended meanwhile, or its permission has been decided on already.')

/** The dependencies of a connection by this link: its grant is saved or waits by the rules of links. */
export const connectingBy = (deps: LinkDeps, link: ConnectLink): ConnectDeps => ({
  ...deps,
  actor: 'link',
  settle: ({ id }, given) => settle(deps, link, given, id),
})

/** Saves the grant of the account's own user, or of the named one. That of any other user waits for the owner's yes. */
async function settle(deps: LinkDeps, link: ConnectLink, given: NewGrant, request: string): Promise<Connected> {
  const { account, provider, expectedUsername } = link
  const { profile } = given
  const { title } = connectableOf(deps, provider)
  const isNamed = expectedUsername !== null && profile.username !== null
  if (isNamed && profile.username.toLowerCase() !== expectedUsername.toLowerCase()) {
    const remedy = `Log in at ${title} as @${expectedUsername}, then press “Connect ${title}” again; nothing was changed.`
    throw new ConnectError(`This link is for another ${title} user than the one that you logged in as.`, remedy)
  }
  const present = await forSomeSeconds(() => deps.store.find(account))
  const isTaken = isNamed || present?.providerUserId === profile.userId
  const by = { request, ...arrivalOf(deps.vault, provider, given) }
  const isDone = await (isTaken ? takeGrant(deps, link, { given, by }) : keepGrant(deps, link, given, by))
  if (!isDone) {
    const happened = 'The link ended, or the permission was taken back, while you were away, so nothing was changed.'
    throw new ConnectError(happened, 'If there is a button below, press it again; else ask for another link where you got this one.')
  }
  return { outcome: 'connected', account, username: profile.username }
}

/** Saves the grant in the transaction that uses the link up. */
async function takeGrant(deps: LinkDeps, link: ConnectLink, { given, by }: { given: NewGrant; by: Arrival | null }): Promise<boolean> {
  const { id, account, provider } = link
  const actor = by === null ? 'owner' : 'link'
  const use = { id, by, userId: given.profile.userId }
  const isTaken = await forSomeSeconds(() =>
    deps.links.take(use, async (store) => {
      const existing = await store.find(account)
      const known = existing?.providerUserId === given.profile.userId ? existing.username : null
      const profile = { ...given.profile, username: given.profile.username ?? known }
      // Readers hear of the change once it stands.
      await saveGrant({ ...deps, store, publish: async () => {} }, { ...given, profile, account, provider, existing, actor })
    }),
  )
  if (!isTaken) return false
  await deps.publish(account)
  const stored = await deps.store.find(account).catch(() => null)
  if (stored !== null) await askName(deps, stored, actor)
  return true
}

function keepGrant(deps: LinkDeps, { id, account }: ConnectLink, given: NewGrant, by: Arrival): Promise<boolean> {
  const { userId, appUserId, username } = given.profile
  const sealed = deps.vault.seal(new Secret(writePending({ ...given, version: 0 })), linkContext(id))
  const waits: AccountEvent = { account, kind: 'grant_waits', actor: 'link', outcome: 'ok', detail: 'It waits for your yes or no.' }
  return forSomeSeconds(() => deps.links.keep({ id, by, userId, appUserId, username, sealed }, waits))
}

const LEASE_SECONDS = 90

/** Alerts the operator once of each grant that waits, from one of the instances. */
export async function reportWaiting({ links, send, log }: { links: LinkStore; send: SendAlert; log: Log }): Promise<void> {
  for (const { id, account, provider, expiresAt } of await links.claimAlerts(LEASE_SECONDS)) {
    const until = `${expiresAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`
    const message = `A client has used the link for the account “${account}”. The permission waits for your yes or no until ${until}: open the account on /admin.`
    try {
      await send({ event: 'grant_waits', account, provider, state: null, message })
    } catch (err) {
      log.warn({ account, event: 'grant_waits', err }, 'an alert could not be delivered; it is tried again')
      continue
    }
    await links.settleAlert(id, { account, kind: 'alert_sent', actor: 'timer', outcome: 'ok', detail: message })
    log.info({ account, event: 'grant_waits' }, 'alert sent')
  }
}
