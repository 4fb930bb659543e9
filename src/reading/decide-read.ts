import type { AllowList } from './allow-list.ts'
import { allows } from './allow-list.ts'

export type TokenResource = 'script' | 'json' | 'text'

type ReadHeader = 'origin' | 'referer' | 'authorization' | 'sec-fetch-site' | 'sec-fetch-mode' | 'sec-fetch-dest' | 'sec-fetch-user'

export interface ReadFacts {
  readonly resource: TokenResource
  /** As Node gives them: it joins doubled ones with a comma, but of Referer and Authorization it drops all but the first. */
  readonly headers: Readonly<Partial<Record<ReadHeader, string | undefined>>>
  /** Name, value, name, value … as they came. */
  readonly rawHeaders: readonly string[]
}

/** Why a read is refused. The sentence for each is in http/token/refusal-sentence.ts. */
export type RefusalReason = 'doubled' | 'navigation' | 'origin' | 'no address' | 'app' | 'referer' | 'unnamed' | 'wrong key'

export interface Refusal {
  readonly allowed: false
  readonly reason: RefusalReason
  /** The web site that asks, where it may be repeated in an answer. */
  readonly site: string | null
  /** What may stand in `Access-Control-Allow-Origin` of the refusal, so that the page can read why. */
  readonly origin: string | null
}

/** `origin` belongs into `Access-Control-Allow-Origin`; null = the request named none. */
export type ReadDecision = { readonly allowed: true; readonly origin: string | null } | Refusal

// `fetch` says `empty`, `<script>` says `script`, `import … with { type: 'json' }` says `json`.
const DESTINATIONS: Record<TokenResource, readonly string[]> = { script: ['script', 'empty'], json: ['empty', 'json'], text: ['empty'] }
const MODES = ['cors', 'no-cors', 'same-origin']
const MAX_REPEATED_LENGTH = 200

const ALLOWED_WITHOUT_ORIGIN: ReadDecision = Object.freeze({ allowed: true, origin: null })

/**
 * The one decision on who may read a token. It keeps other web sites out, because browsers tell the truth about the page
 * that asks. It cannot keep out a client that lies in its headers, such as curl.
 */
export function decideRead(
  { resource, headers, rawHeaders }: ReadFacts,
  allowList: AllowList,
  isServerKey: (token: string) => boolean,
): ReadDecision {
  const { origin, referer, authorization, 'sec-fetch-mode': mode, 'sec-fetch-dest': destination } = headers
  const isJoined =
    isList(origin) || isList(mode) || isList(destination) || isList(headers['sec-fetch-site']) || isList(headers['sec-fetch-user'])
  if (isJoined || ((referer !== undefined || authorization !== undefined) && isDoubled(rawHeaders))) return refuse('doubled')
  // Old browsers and servers send neither; one that does is held to it, whatever key it has.
  const isNavigation = mode !== undefined && !MODES.includes(mode)
  if (isNavigation || (destination !== undefined && !DESTINATIONS[resource].includes(destination))) return refuse('navigation', origin)

  // An Origin that is not on the list, `null` and an empty one too, must never be outvoted by a Referer or a key.
  if (origin !== undefined) {
    if (allows(allowList, origin)) return { allowed: true, origin }
    return refuse(reasonAgainst(origin), origin)
  }
  if (referer !== undefined) {
    const site = siteOf(referer)
    return allows(allowList, site) ? ALLOWED_WITHOUT_ORIGIN : { ...refuse('referer'), site: repeatable(site) }
  }
  if (authorization === undefined) return refuse('unnamed')
  return isBearer(authorization) && isServerKey(authorization.slice(7)) ? ALLOWED_WITHOUT_ORIGIN : refuse('wrong key')
}

function refuse(reason: RefusalReason, origin?: string): Refusal {
  const site = origin === undefined ? null : repeatable(origin)
  // A local file or a sandboxed frame can read why it is refused by no other word.
  return { allowed: false, reason, site, origin: origin === 'null' ? origin : site }
}

function reasonAgainst(origin: string): RefusalReason {
  if (origin === 'null' || origin.startsWith('file:')) return 'no address'
  // `capacitor://localhost`, `chrome-extension://…`
  return /^(?!https?:)[a-z][a-z0-9+.-]*:\/\//.test(origin) ? 'app' : 'origin'
}

/** The origin where it is a web site’s, written as browsers write it, and short: nothing else of a request is repeated. */
function repeatable(origin: string): string | null {
  if (origin.length > MAX_REPEATED_LENGTH || !/^https?:/.test(origin)) return null
  return URL.parse(origin)?.origin === origin ? origin : null
}

/** No value of these headers has a comma: it is two headers that Node has joined, or one that matches nothing. */
const isList = (value: string | undefined): boolean => value?.includes(',') === true

function isDoubled(rawHeaders: readonly string[]): boolean {
  let referers = 0
  let keys = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === 7 && name.toLowerCase() === 'referer') referers++
    else if (name.length === 13 && name.toLowerCase() === 'authorization') keys++
  }
  return referers > 1 || keys > 1
}

/** A browser sends the whole address or, by its policy, the origin and a slash. A space in it is two headers joined by a proxy. */
function siteOf(referer: string): string {
  if (referer.includes(' ')) return ''
  const hostStart = referer.startsWith('https://') ? 8 : 7
  const hostEnd = referer.indexOf('/', hostStart)
  return hostEnd === -1 ? referer : referer.slice(0, hostEnd)
}

// The scheme's name has no case (RFC 9110, 11.1).
function isBearer(authorization: string): boolean {
  return authorization.slice(0, 7).toLowerCase() === 'bearer '
}
