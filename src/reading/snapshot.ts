import { shortDigest } from '../core/digest.ts'
import type { AppError } from '../core/errors.ts'
import { accountContext, UnreadableError, type Vault } from '../core/vault.ts'
import { type AllowList, parseAllowList } from './allow-list.ts'
import { renderScript } from './js-constant.ts'
import { unreadable } from './token-problem.ts'
import type { TokenRow } from './token-row.ts'

/** An answer's body and its strong entity tag, quotes included. A text, not a Buffer: Node sends it in one write with the headers. */
export interface Body {
  readonly content: string
  readonly etag: string
  /** In bytes, as the header has it. */
  readonly length: string
}

/** One account as it stood at one moment: its token, or why there is none to serve. The list counts for either. */
export type Snapshot = TokenSnapshot | ProblemSnapshot

export interface ProblemSnapshot {
  /** `not_found` = there is no such account. */
  readonly problem: AppError
  /** The account's own; null = the global one. */
  readonly allowList: AllowList | null
}

/** With everything prepared that a request needs. */
export interface TokenSnapshot {
  readonly problem: null
  readonly allowList: AllowList | null
  readonly name: string
  readonly expiresAt: Date | null
  readonly constantName: string
  /** `{"token":"…"}` */
  readonly json: Body
  readonly text: Body
  /** The name must have passed `constantNameProblem`. */
  script(constantName?: string): Body
  /** How long a browser may keep an answer: at most five minutes, never beyond the token's life. */
  maxAgeSeconds(nowMs: number): number
}

export interface SnapshotDeps {
  readonly constantName: string
  /** A short hash of a text, in characters that an entity tag and a cache key may have. */
  readonly vault: Vault
}

export const MAX_AGE_SECONDS = 300

export function createSnapshot(row: TokenRow, { constantName: globalName, vault }: SnapshotDeps): Snapshot {
  const { name, accessToken, expiresAt, allowedDomains, jsConstant } = row
  const allowList = ownAllowList(allowedDomains)
  let token: string
  try {
    token = vault.open(accessToken ?? '', accountContext(name, 'access_token')).reveal()
  } catch (error) {
    if (error instanceof UnreadableError) return { problem: unreadable(error), allowList }
    throw error
  }
  const constantName = jsConstant ?? globalName
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
    expiresAt,
    constantName,
    json: toBody(JSON.stringify({ token })),
    text: toBody(token),
    // Other names come from the query string: kept, they would fill the memory.
    script: (other = constantName) => (other === constantName ? ownScript : toBody(renderScript(other, token))),
    maxAgeSeconds(nowMs) {
      if (expiresAt === null) return MAX_AGE_SECONDS
      return Math.max(0, Math.min(MAX_AGE_SECONDS, Math.floor((expiresAt.getTime() - nowMs) / 1000)))
    },
  }
}

export function toProblem(problem: AppError, allowList: AllowList | null = null): ProblemSnapshot {
  return { problem, allowList }
}

/** Null = the global one. What is stored was checked when it was typed; a list that is broken all the same allows nobody. */
export function ownAllowList(allowedDomains: string | null): AllowList | null {
  if (allowedDomains === null) return null
  const { list, problems } = parseAllowList(allowedDomains, () => false)
  return problems.length === 0 ? list : { exact: new Set(), wildcards: new Set() }
}
