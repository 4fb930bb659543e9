import type { AllowList } from './allow-list.ts'
import { allows } from './allow-list.ts'

export type TokenResource = 'script' | 'json' | 'text'

export interface ReadFacts {
  readonly resource: TokenResource
  /** Name, value, name, value … as they came: Node's own `headers` object drops or joins doubled ones. */
  readonly rawHeaders: readonly string[]
}

/** `origin` belongs into `Access-Control-Allow-Origin`; null = the request named none. `reason` is for the site's owner. */
export type ReadDecision = { readonly allowed: true; readonly origin: string | null } | { readonly allowed: false; readonly reason: string }

// `fetch` says `empty`, `<script>` says `script`, `import … with { type: 'json' }` says `json`.
const DESTINATIONS: Record<TokenResource, readonly string[]> = { script: ['script', 'empty'], json: ['empty', 'json'], text: ['empty'] }
const MODES = ['cors', 'no-cors', 'same-origin']

const refuse = (reason: string): ReadDecision => Object.freeze({ allowed: false, reason })
const ALLOWED_WITHOUT_ORIGIN: ReadDecision = Object.freeze({ allowed: true, origin: null })
const DOUBLED = refuse('The request has a header twice that may stand in it only once.')
const NAVIGATION = refuse('A token is read by a script of an allowed web site; it cannot be opened as a page, frame or image.')
const ORIGIN_NOT_LISTED = refuse('This web site is not on the list. Add its host name to ALLOWED_DOMAINS, exactly as the browser shows it.')
const NO_ADDRESS = refuse('A page without an address of its own, such as a local file or a sandboxed frame, cannot read a token.')
const REFERER_NOT_LISTED = refuse(
  'The page that asks is not on the list. Add its host name to ALLOWED_DOMAINS, and put crossorigin="anonymous" on the script tag.',
)
const NOBODY = refuse(
  'The request does not say which web site it comes from. Put crossorigin="anonymous" on the script tag; a server sends one of SERVER_KEYS as “Authorization: Bearer …”.',
)
const WRONG_KEY = refuse('This key is not one of SERVER_KEYS.')

/**
 * The one decision on who may read a token. It keeps other web sites out, because browsers tell the truth about the page
 * that asks. It cannot keep out a client that lies in its headers, such as curl.
 */
export function decideRead(
  { resource, rawHeaders }: ReadFacts,
  allowList: AllowList,
  isServerKey: (token: string) => boolean,
): ReadDecision {
  let origin: string | undefined
  let referer: string | undefined
  let authorization: string | undefined
  let mode: string | undefined
  let destination: string | undefined
  let site: string | undefined
  let user: string | undefined
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const value = rawHeaders[at + 1]
    switch (nameOf(rawHeaders[at] ?? '')) {
      case 'origin':
        if (origin !== undefined) return DOUBLED
        origin = value
        break
      case 'referer':
        if (referer !== undefined) return DOUBLED
        referer = value
        break
      case 'authorization':
        if (authorization !== undefined) return DOUBLED
        authorization = value
        break
      case 'sec-fetch-mode':
        if (mode !== undefined) return DOUBLED
        mode = value
        break
      case 'sec-fetch-dest':
        if (destination !== undefined) return DOUBLED
        destination = value
        break
      case 'sec-fetch-site':
        if (site !== undefined) return DOUBLED
        site = value
        break
      case 'sec-fetch-user':
        if (user !== undefined) return DOUBLED
        user = value
        break
    }
  }
  // Old browsers and servers send neither; one that does is held to it, whatever key it has.
  if (mode !== undefined && !MODES.includes(mode)) return NAVIGATION
  if (destination !== undefined && !DESTINATIONS[resource].includes(destination)) return NAVIGATION

  // An Origin that is not on the list, `null` and an empty one too, must never be outvoted by a Referer or a key.
  if (origin !== undefined) {
    if (allows(allowList, origin)) return { allowed: true, origin }
    return origin === 'null' ? NO_ADDRESS : ORIGIN_NOT_LISTED
  }
  if (referer !== undefined) return isListedReferer(allowList, referer) ? ALLOWED_WITHOUT_ORIGIN : REFERER_NOT_LISTED
  if (authorization === undefined) return NOBODY
  return isBearer(authorization) && isServerKey(authorization.slice(7)) ? ALLOWED_WITHOUT_ORIGIN : WRONG_KEY
}

/** Lower-cases only what may be one of ours: the other twenty headers of a request cost a comparison of two numbers. */
function nameOf(name: string): string {
  const first = name.charCodeAt(0) | 0x20
  const isCandidate =
    (name.length === 6 && first === 0x6f) ||
    (name.length === 7 && first === 0x72) ||
    (name.length === 13 && first === 0x61) ||
    (name.length === 14 && first === 0x73)
  return isCandidate ? name.toLowerCase() : ''
}

/** A browser sends the whole address or, by its policy, the origin and a slash. A space in it is two headers joined by a proxy. */
function isListedReferer(allowList: AllowList, referer: string): boolean {
  if (referer.includes(' ')) return false
  const hostStart = referer.startsWith('https://') ? 8 : 7
  const hostEnd = referer.indexOf('/', hostStart)
  return allows(allowList, hostEnd === -1 ? referer : referer.slice(0, hostEnd))
}

// The scheme's name has no case (RFC 9110, 11.1).
function isBearer(authorization: string): boolean {
  return authorization.slice(0, 7).toLowerCase() === 'bearer '
}
