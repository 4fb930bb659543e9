import type { AllowList } from './allow-list.ts'
import { allows } from './allow-list.ts'

export type TokenResource = 'script' | 'json' | 'text'

export interface ReadFacts {
  readonly resource: TokenResource
  /** Name, value, name, value … as they came: Node's own `headers` object drops or joins doubled ones. */
  readonly rawHeaders: readonly string[]
}

/** Why a read is refused. The sentence for each is in http/refusal-sentence.ts. */
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
        if (origin !== undefined) return refuse('doubled')
        origin = value
        break
      case 'referer':
        if (referer !== undefined) return refuse('doubled')
        referer = value
        break
      case 'authorization':
        if (authorization !== undefined) return refuse('doubled')
        authorization = value
        break
      case 'sec-fetch-mode':
        if (mode !== undefined) return refuse('doubled')
        mode = value
        break
      case 'sec-fetch-dest':
        if (destination !== undefined) return refuse('doubled')
        destination = value
        break
      case 'sec-fetch-site':
        if (site !== undefined) return refuse('doubled')
        site = value
        break
      case 'sec-fetch-user':
        if (user !== undefined) return refuse('doubled')
        user = value
        break
    }
  }
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
