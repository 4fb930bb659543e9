import type { AllowList } from './allow-list.ts'
import { allows } from './allow-list.ts'

export type TokenResource = 'script' | 'json' | 'text'
/** `frame`: a page of the feed, for an iframe. */
export type ReadResource = TokenResource | 'frame'

type ReadHeader = 'origin' | 'referer' | 'authorization' | 'sec-fetch-site' | 'sec-fetch-mode' | 'sec-fetch-dest' | 'sec-fetch-user'

export interface ReadFacts {
  readonly resource: ReadResource
  /** From Node, which joins repeated headers with a comma, but keeps only the first Referer and Authorization. */
  readonly headers: Readonly<Partial<Record<ReadHeader, string | undefined>>>
  /** Name, value, name, value …, as received. */
  readonly rawHeaders: readonly string[]
}

/** Why a read is refused. http/token/refusal-sentence.ts has the sentences. */
export type RefusalReason = 'doubled' | 'navigation' | 'origin' | 'no address' | 'app' | 'referer' | 'unnamed' | 'wrong key'

export interface Refusal {
  readonly allowed: false
  readonly reason: RefusalReason
  /** The origin of the refused site; null if it must not be repeated in an answer. */
  readonly site: string | null
  /** The refusal's `Access-Control-Allow-Origin`, so that the page can read the reason. */
  readonly origin: string | null
}

/** `isServer`: a server key was sent, no web page asks. `origin` is the answer's `Access-Control-Allow-Origin`; null = the request has no Origin. */
export type ReadDecision = { readonly allowed: true; readonly origin: string | null; readonly isServer: boolean } | Refusal

// `fetch` says `empty`, `<script>` says `script`, `import … with { type: 'json' }` says `json`.
const DESTINATIONS: Record<ReadResource, readonly string[]> = {
  script: ['script', 'empty'],
  json: ['empty', 'json'],
  text: ['empty'],
  frame: ['iframe', 'frame'],
}
const MODES = ['cors', 'no-cors', 'same-origin']
const FRAME_MODES = ['navigate']
const MAX_REPEATED_LENGTH = 200

const ALLOWED_BY_REFERER: ReadDecision = Object.freeze({ allowed: true, origin: null, isServer: false })
const ALLOWED_BY_KEY: ReadDecision = Object.freeze({ allowed: true, origin: null, isServer: true })

/**
 * Decides whether a request may read a token. Keeps other web sites out, because browsers send true headers. Cannot keep
 * out a client that forges its headers, such as curl.
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
  // Old browsers and servers send neither header. If one is there it must fit, even with a server key.
  const isNavigation = mode !== undefined && !(resource === 'frame' ? FRAME_MODES : MODES).includes(mode)
  if (isNavigation || (destination !== undefined && !DESTINATIONS[resource].includes(destination))) return refuse('navigation', origin)

  // A Referer or a key must never override an Origin that is not on the list, be it `null` or empty.
  if (origin !== undefined) {
    if (allows(allowList, origin)) return { allowed: true, origin, isServer: false }
    return refuse(reasonAgainst(origin), origin)
  }
  if (referer !== undefined) {
    const site = siteOf(referer)
    return allows(allowList, site) ? ALLOWED_BY_REFERER : { ...refuse('referer'), site: repeatable(site) }
  }
  if (authorization === undefined) return refuse('unnamed')
  return isBearer(authorization) && isServerKey(authorization.slice(7)) ? ALLOWED_BY_KEY : refuse('wrong key')
}

function refuse(reason: RefusalReason, origin?: string): Refusal {
  const site = origin === undefined ? null : repeatable(origin)
  // A local file or a sandboxed frame can read the reason only with `null`.
  return { allowed: false, reason, site, origin: origin === 'null' ? origin : site }
}

function reasonAgainst(origin: string): RefusalReason {
  if (origin === 'null' || origin.startsWith('file:')) return 'no address'
  // `capacitor://localhost`, `chrome-extension://…`
  return /^(?!https?:)[a-z][a-z0-9+.-]*:\/\//.test(origin) ? 'app' : 'origin'
}

/** The origin if it is a canonical, short http(s) origin; answers repeat nothing else of a request. */
function repeatable(origin: string): string | null {
  if (origin.length > MAX_REPEATED_LENGTH || !/^https?:/.test(origin)) return null
  return URL.parse(origin)?.origin === origin ? origin : null
}

/** A comma means two headers that Node has joined, or a value that matches nothing. */
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

/** A browser sends the whole address or, by its policy, the origin and a slash. A space means two headers joined by a proxy. */
function siteOf(referer: string): string {
  if (referer.includes(' ')) return ''
  const hostStart = referer.startsWith('https://') ? 8 : 7
  const hostEnd = referer.indexOf('/', hostStart)
  return hostEnd === -1 ? referer : referer.slice(0, hostEnd)
}

// The scheme is case-insensitive (RFC 9110, 11.1).
function isBearer(authorization: string): boolean {
  return authorization.slice(0, 7).toLowerCase() === 'bearer '
}
