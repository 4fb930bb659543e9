import type { Grant as Given, Provider } from '../../src/core/provider.ts'
import { type AccountScript, HOUR_MS, type Host, MINUTE_MS, type Script } from './script.ts'

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

export function refusal(code: number, message: string): Answer {
  return { status: 400, body: { error: { message, type: 'OAuthException', code } } }
}

const FAULT_ONCE_IN = 300

interface Call {
  readonly host: Host
  readonly name: string
  readonly at: number
}

/** How Meta's API fails at this moment, whatever is asked: null = not at all, else its answer, where `null` is none. */
export function troubleAt(script: Script, { host, name, at }: Call): { readonly answer: Answer | null } | null {
  if (script.outages.at(at) !== null) {
    const isBroken = script.fraction(`${name} ${Math.floor(at / HOUR_MS)}`) < 0.5
    return { answer: isBroken ? null : { status: 503, body: {} } }
  }
  if (script.happens('fault', name, at, FAULT_ONCE_IN)) return { answer: refusal(2, 'Service temporarily unavailable') }
  const throttled = host.throttled.at(at)
  if (throttled === null) return null
  const usage = JSON.stringify({
    '1': [{ call_count: 100, estimated_time_to_regain_access: Math.ceil((throttled.to - at) / MINUTE_MS) }],
  })
  return { answer: { ...refusal(4, 'Application request limit reached'), headers: { 'x-business-use-case-usage': usage } } }
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
