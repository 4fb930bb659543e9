import type { Grant as Given, Provider } from '../../src/core/provider.ts'
import type { AccountScript, Host } from './script.ts'

/** What a person's approval gave, until the user or a loss ends it. */
export interface Grant {
  readonly account: AccountScript
  /** From here on only a person's new approval helps. */
  endsAt: number
}

export interface Answer {
  readonly status: number
  readonly body: object
  readonly headers?: Record<string, string>
}

export type Send = (path: string, token: string) => Promise<Answer | null>

/** How one kind of provider's tokens live in a script, by the provider's own rules: one file a kind, one world a policy. */
export interface Kind {
  /** How long a new token lives, as the provider says. */
  readonly lifeSeconds: number
  /** The call whose answer holds the next token. */
  readonly refreshPath: string
  /** So many times rarer than a token renewed once a week meets a crash or a cut between answer and commit, for each call. */
  readonly rarity: number
  /** What a browser brings back beside the token that `connect` gave. */
  granted(token: string, at: number): Given
  /** From then on the user must approve again, which is known ahead. */
  approvalEnd(token: string): number
  /** All calls so far. */
  calls(): number
  /** A person approves: a new token. */
  connect(account: AccountScript, at: number): string
  grantOf(token: string): Grant
  /** Null where no answer comes. */
  answer(host: Host, path: string, token: string, at: number): Answer | null
  /** When the token stops working, unless it is refreshed before. */
  workingUntil(token: string): number
  /** When it expires unless it is refreshed, whatever its user does meanwhile. */
  expiryOf(token: string): number
  /** The answer never reached the policy that asked. */
  lose(token: string, at: number): void
  /** Since when refreshes are refused until the operator changes a setting; null = they are not. */
  lapsedSince(account: AccountScript, at: number): number | null
  restore(account: AccountScript, at: number): void
  /** The agent's own code for this provider, on the answers of this world. */
  provider(send: Send): Provider
}

/** A fetch whose calls go to the world of a script; `null` there = no answer comes. */
export function sending(send: Send, tokenOf: (url: URL, init: RequestInit) => string): typeof globalThis.fetch {
  return async (address, init = {}) => {
    const url = new URL(address as URL)
    const answer = await send(url.pathname, tokenOf(url, init))
    if (answer === null) throw new TypeError('fetch failed')
    const { status, body, headers } = answer
    return new Response(JSON.stringify(body), { status, headers: headers ?? {} })
  }
}
