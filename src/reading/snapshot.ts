import { isForPages } from '../core/account.ts'
import { shortDigest } from '../core/digest.ts'
import type { AppError } from '../core/errors.ts'
import type { Provider } from '../core/provider.ts'
import { type FeedMode, servesOf } from '../core/serves.ts'
import { accountContext, UnreadableError, type Vault } from '../core/vault.ts'
import { type AllowList, parseAllowList } from './allow-list.ts'
import { renderScript } from './js-constant.ts'
import { unreadable } from './token-problem.ts'
import type { TokenRow } from './token-row.ts'

/** An answer's body with its strong ETag, quotes included. Text, not a Buffer: Node sends text and headers in one write. */
export interface Body {
  readonly content: string
  readonly etag: string
  /** In bytes, for Content-Length. */
  readonly length: string
}

/** An account at one moment: its token, or the reason why it has none to serve. The allow-list applies to both. */
export type Snapshot = TokenSnapshot | ProblemSnapshot

export interface ProblemSnapshot {
  /** `not_found` = there is no such account. */
  readonly problem: AppError
  /** The account's own list; null = the global one. */
  readonly allowList: AllowList | null
  /** Of an account that gives its posts alone, which is the problem then: its provider, and what is wrong with its token. */
  readonly feed: { readonly provider: string; readonly problem: AppError | null } | null
}

/** Holds prepared answers, so that a read only sends bytes. */
export interface TokenSnapshot {
  readonly problem: null
  readonly allowList: AllowList | null
  readonly name: string
  readonly provider: string
  readonly expiresAt: Date | null
  readonly constantName: string
  /** False: only servers get the token, for it can do more than read. */
  readonly isForPages: boolean
  /** The account gives its posts too. */
  readonly givesFeed: boolean
  /** `{"token":"…"}` */
  readonly json: Body
  readonly text: Body
  /** `constantName` must have passed `constantNameProblem`. */
  script(constantName?: string): Body
  /** The answer's max-age: at most five minutes, never beyond the token's expiry. */
  maxAgeSeconds(nowMs: number): number
}

export interface SnapshotDeps {
  /** By provider. */
  readonly constantNames: Readonly<Record<string, string>>
  readonly providers: ReadonlyMap<string, Pick<Provider, 'isPublicSafe' | 'renewal' | 'media'>>
  /** FEED_MODE; unset = `on`. */
  readonly feedMode?: FeedMode
  readonly vault: Vault
}

export const MAX_AGE_SECONDS = 300
/** The constant's name for a provider that the agent does not know. */
const UNKNOWN_PROVIDER = 'AccessToken'

export function createSnapshot(row: TokenRow, { constantNames, providers, feedMode = 'on', vault }: SnapshotDeps): Snapshot {
  const { name, provider, accessToken, expiresAt, allowedDomains, jsConstant } = row
  const allowList = ownAllowList(allowedDomains)
  let token: string
  try {
    token = vault.open(accessToken ?? '', accountContext(row, 'access_token')).reveal()
  } catch (error) {
    if (error instanceof UnreadableError) return toProblem(unreadable(error), allowList)
    throw error
  }
  const constantName = jsConstant ?? constantNames[provider] ?? UNKNOWN_PROVIDER
  const toBody = (text: string): Body => ({
    content: text,
    etag: `"${shortDigest(text)}"`,
    length: String(Buffer.byteLength(text)),
  })
  const ownScript = toBody(renderScript(constantName, token))
  return {
    problem: null,
    allowList,
    name,
    provider,
    expiresAt,
    constantName,
    isForPages: isForPages(row, providers.get(provider)),
    givesFeed: servesOf(row, feedMode, providers.get(provider)?.media) !== 'token',
    json: toBody(JSON.stringify({ token })),
    text: toBody(token),
    // Other names come from the query string; caching them could fill the memory.
    script: (other = constantName) => (other === constantName ? ownScript : toBody(renderScript(other, token))),
    maxAgeSeconds(nowMs) {
      if (expiresAt === null) return MAX_AGE_SECONDS
      return Math.max(0, Math.min(MAX_AGE_SECONDS, Math.floor((expiresAt.getTime() - nowMs) / 1000)))
    },
  }
}

export function toProblem(problem: AppError, allowList: AllowList | null = null, feed: ProblemSnapshot['feed'] = null): ProblemSnapshot {
  return { problem, allowList, feed }
}

/** Null = the global list. A stored list was checked when it was saved; if it is broken nevertheless, it allows no site. */
export function ownAllowList(allowedDomains: string | null): AllowList | null {
  if (allowedDomains === null) return null
  const { list, problems } = parseAllowList(allowedDomains, () => false)
  return problems.length === 0 ? list : { exact: new Set(), wildcards: new Set() }
}
