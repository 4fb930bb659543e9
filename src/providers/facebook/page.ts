import { ProviderError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import { tokenProblem } from '../../core/token.ts'
import { isId, isRecord } from '../graph/answer.ts'
import { FACEBOOK } from './words.ts'

// https://developers.facebook.com/docs/graph-api/reference/user/accounts

/** A Page that the user may manage. */
export interface Page {
  readonly id: string
  readonly name: string
  /** Null where the user has no task on the Page. */
  readonly token: Secret | null
  /** The professional account that is linked to the Page. */
  readonly instagram: { readonly id: string; readonly username: string | null } | null
}

export const NOT_LINKED =
  'No professional Instagram account is linked to the Page any more: link it again in the Page’s settings, “Linked accounts”; the agent goes on by itself.'

export const NO_PAGES =
  'The login leads to no Page with an Instagram account. Link a professional Instagram account to the Page, choose both in Facebook’s dialog, and note that the Pages of a business portfolio are listed only with the permission business_management'

/** A Page that can be connected. */
export type LinkedPage = Page & { readonly token: NonNullable<Page['token']>; readonly instagram: NonNullable<Page['instagram']> }

export const isLinked = (page: Page): page is LinkedPage => page.token !== null && page.instagram !== null

/** The Page of the account's user; for an account without one, the Page or Instagram account `objectId`, or the only one. */
export function chosen(
  pages: readonly Page[],
  { userId, objectId }: { readonly userId: string | null; readonly objectId: string | null },
): LinkedPage {
  const linked = pages.filter(isLinked)
  const [first, second] = linked
  const id = userId ?? objectId
  const found = id === null ? undefined : pages.find((page) => page.id === id || page.instagram?.id === id)
  if (found !== undefined) {
    if (!isLinked(found)) throw new ProviderError('misconfigured', found.instagram === null ? NOT_LINKED : NO_TASK)
    return found
  }
  if (userId !== null)
    throw new ProviderError(
      'reconnect',
      `Facebook no longer lists the Page of this account: the user has lost the task on it, or did not choose it in the dialog; ${FACEBOOK.words.makeNewToken}`,
    )
  if (first === undefined) throw new ProviderError('misconfigured', `${NO_PAGES}; then ${FACEBOOK.words.makeNewToken}`)
  if (objectId !== null)
    throw new ProviderError(
      'misconfigured',
      `The token leads to no Page or Instagram account ${objectId}: set FACEBOOK_OBJECT_ID to one of these numbers, and restart. ${listOf(linked)}.`,
    )
  if (second === undefined) return first
  throw new ProviderError(
    'misconfigured',
    `The token leads to ${linked.length} Instagram accounts: connect the account in the browser and choose one there, or, where FACEBOOK_STARTING_TOKEN holds the token, set FACEBOOK_OBJECT_ID to one of these numbers and restart. ${listOf(linked)}.`,
  )
}

function listOf(linked: readonly LinkedPage[]): string {
  const list = linked.slice(0, 10).map(({ name, instagram }) => `${printableName(name)} (${instagram.id})`)
  return `${list.join(', ')}${linked.length > list.length ? `, and ${linked.length - list.length} more` : ''}`
}

const NO_TASK =
  'Facebook gives no token of this Page: the user needs a task on it (Page settings, “Page access”); the agent goes on by itself.'

const printableName = (name: string): string => name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ').slice(0, 60)

export function instagramIn(value: unknown): Page['instagram'] {
  if (!isRecord(value) || !isId(value['id'])) return null
  const { id, username } = value
  return { id: id as string, username: typeof username === 'string' && /^[\w.]{1,64}$/.test(username) ? username : null }
}

export function pageIn(value: unknown): Page[] {
  if (!isRecord(value) || !isId(value['id'])) return []
  const { id, name, access_token: token } = value
  return [
    {
      id: id as string,
      name: typeof name === 'string' && name.trim() !== '' ? name.trim().slice(0, 100) : `Page ${id}`,
      token: typeof token === 'string' && tokenProblem(token) === null ? new Secret(token) : null,
      instagram: instagramIn(value['instagram_business_account']),
    },
  ]
}
