import type { Refusal } from '../../reading/decide-read.ts'

/** Where the allow-list that refused the site is kept. */
export interface ListLocation {
  /** False: ALLOWED_DOMAINS decides. */
  readonly isOwn: boolean
  /** From the address; null = the default account. */
  readonly account: string | null
  readonly appUrl: string
  /** What is refused; unset = the token. */
  readonly reads?: 'feed' | 'frame'
}

/** One or two sentences for the site’s developer: the site, the reason, and the setting to change. */
export function refusalSentence({ reason, site }: Refusal, place: ListLocation): string {
  switch (reason) {
    case 'origin':
    case 'referer':
      return site === null
        ? `This web site is not on the list. Is it yours? Add its address, exactly as the browser shows it, to ${listOf(place)}`
        : `${site} is not on the list of web sites that may read this ${place.reads === undefined ? 'token' : 'feed'}. Is it yours? Add ${site} to ${listOf(place)}`
    case 'no address':
      return `The page that asks has no address of its own (its origin is “null”), such as a local file or a sandboxed frame, and cannot be listed. Open it from a web server, such as http://localhost:8000, and add that address to ${listOf(place)}`
    case 'app':
      return 'An app or a browser extension asks, and its origin is the same in every such app: it cannot be listed. Let a server of yours ask, which sends one of SERVER_KEYS as “Authorization: Bearer …”.'
    case 'navigation':
      if (place.reads === 'feed') return 'The feed is read by a script of an allowed web site; opened as a page it tells nothing.'
      if (place.reads === 'frame') return `This page is for an iframe of an allowed web site. The code to paste: ${place.appUrl}`
      return 'A token is read by a script of an allowed web site; it cannot be opened as a page, frame or image.'
    case 'unnamed':
      if (place.reads === 'frame')
        return 'The request does not say which web site it comes from. Put referrerpolicy="origin" on the iframe.'
      return 'The request does not say which web site it comes from. Put crossorigin="anonymous" on the script tag; a server sends one of SERVER_KEYS as “Authorization: Bearer …”.'
    case 'wrong key':
      return 'This key is not one of SERVER_KEYS.'
    case 'doubled':
      return 'A header that must be unique was sent twice.'
  }
}

/** For a page whose site is listed, where only servers get the token. */
export function serversOnlySentence({ account, appUrl }: Omit<ListLocation, 'isOwn'>): string {
  return `This token can do more than read, or does not tell what it can do, so only servers get it (with one of SERVER_KEYS as “Authorization: Bearer …”). Is this your site? Read what that means, and decide: at ${pageOf({ account, appUrl })} under “Who may read the token”.`
}

function listOf({ isOwn, account, appUrl }: ListLocation): string {
  if (!isOwn) return `the variable ALLOWED_DOMAINS of the agent at ${appUrl}, and restart it.`
  return `the account’s own list: at ${pageOf({ account, appUrl })} under “Who may read the token”.`
}

function pageOf({ account, appUrl }: Omit<ListLocation, 'isOwn'>): string {
  return account === null ? `${appUrl}/admin, open the account that /token.js serves,` : `${appUrl}/admin/accounts/${account}`
}
