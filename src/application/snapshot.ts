import type { Account } from '../domain/account.ts'
import { type AllowList, parseAllowList } from '../domain/allow-list.ts'
import { renderScript } from '../domain/js-constant.ts'
import type { Secret } from '../domain/secret.ts'

/** The columns that serving a token needs; the refresh token is not among them, so no cache ever holds it. */
export type TokenRow = Pick<Account, 'name' | 'version' | 'accessToken' | 'expiresAt' | 'allowedDomains' | 'jsConstant'>

/** An answer's body and its strong entity tag, quotes included. A text, not a Buffer: Node sends it in one write with the headers. */
export interface Body {
  readonly content: string
  readonly etag: string
}

/** One account's token as it stood at one moment, with everything prepared that a request needs. */
export interface Snapshot {
  readonly name: string
  readonly version: number
  readonly expiresAt: Date | null
  /** The account's own; null = the global one. */
  readonly allowList: AllowList | null
  readonly constantName: string
  /** `{"token":"…"}` */
  readonly json: Body
  readonly text: Body
  /** The name must have passed `constantNameProblem`. */
  script(constantName?: string): Body
  /** How long a browser may keep an answer: at most five minutes, never beyond the token's life. */
  maxAgeSeconds(nowMs: number): number
}

interface SnapshotDeps {
  readonly constantName: string
  readonly digest: (text: string) => string
}

export const MAX_AGE_SECONDS = 300

export function createSnapshot(row: TokenRow, secret: Secret, { constantName: globalName, digest }: SnapshotDeps): Snapshot {
  const { name, version, expiresAt, allowedDomains, jsConstant } = row
  const constantName = jsConstant ?? globalName
  const token = secret.reveal()
  const toBody = (text: string): Body => ({ content: text, etag: `"${digest(text)}"` })
  const ownScript = toBody(renderScript(constantName, token))
  return {
    name,
    version,
    expiresAt,
    allowList: ownAllowList(allowedDomains),
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

/** Null = the global one. What is stored was checked when it was typed; a list that is broken all the same allows nobody. */
export function ownAllowList(allowedDomains: string | null): AllowList | null {
  if (allowedDomains === null) return null
  const { list, problems } = parseAllowList(allowedDomains, () => false)
  return problems.length === 0 ? list : { exact: new Set(), wildcards: new Set() }
}
