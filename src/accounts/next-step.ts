/** A sentence with an instant in it, which the page shows in the reader's own way. */
export interface Sentence {
  readonly before: string
  readonly at: Date | null
  readonly after: string
}

/** What helps, and has a button: a new token, one more try after what is wrong has been put right, or the end of a pause. */
export type Remedy = 'new token' | 'try again' | 'switch on'

export interface NextStep {
  /** What happens next and when. */
  readonly next: Sentence
  /** The one thing for the owner to do; null = nothing. */
  readonly remedy: Remedy | null
  /** What the provider said, with the remedy that works here. */
  readonly error: string | null
  /** Counted and shown among those that need their owner. */
  readonly needsAttention: boolean
}

/** What of an account the next step depends on. */
export interface Situation {
  /** The provider's; null until the provider has confirmed a token. */
  readonly userId: string | null
  readonly condition: 'working' | 'paused' | 'empty' | 'checking' | 'needs you'
  /** Its beginning and its length; null = there is none. */
  readonly token: string | null
  readonly expiresAt: Date | null
  readonly nextRefreshAt: Date | null
  /** Failed refreshes since the last success. */
  readonly failureCount: number
  /** A new token from its owner is needed, or would be a safe thing to have. */
  readonly wantsToken: boolean
  /** Its provider can be visited for one. */
  readonly canConnect: boolean
  readonly lastErrorCode: string | null
  readonly lastError: string | null
}

export interface StepFacts {
  readonly now: Date
  /** As `isAtRisk` says. */
  readonly isAtRisk: boolean
  /** How the provider's sentences say that only a new token helps; null = the provider is not known here. */
  readonly makeNewToken: string | null
}

/** What the owner of this account is told to do, and has a button for: never what cannot be done here. */
export function nextStep(account: Situation, facts: StepFacts): NextStep {
  const { isAtRisk, makeNewToken } = facts
  const { condition, lastError, canConnect, token } = account
  const isNew = token === null
  const way = canConnect ? `connect the account${isNew ? '' : ' again'}` : `paste a${isNew ? '' : ' new'} token`
  const wantsNewToken = makeNewToken !== null && lastError?.includes(makeNewToken) === true
  const isBroken = condition === 'needs you' && account.lastErrorCode === 'misconfigured' && !wantsNewToken
  const remedy = isBroken ? 'try again' : account.wantsToken || wantsNewToken ? 'new token' : condition === 'paused' ? 'switch on' : null
  return {
    next: whatNext(account, facts, { way, isBroken, wantsNewToken }),
    remedy,
    error: wantsNewToken && lastError !== null ? lastError.replace(makeNewToken, here(makeNewToken, canConnect ? way : null)) : lastError,
    needsAttention: condition === 'needs you' || condition === 'empty' || isAtRisk,
  }
}

/** The way to a new token that works on this page. */
function here(makeNewToken: string, way: string | null): string {
  return way === null ? makeNewToken.replace('give it to the agent', 'paste it here') : `${way}.`
}

interface Ways {
  /** To a new token. */
  readonly way: string
  /** By what is wrong outside the agent. */
  readonly isBroken: boolean
  readonly wantsNewToken: boolean
}

function whatNext(account: Situation, { now, isAtRisk }: StepFacts, { way, isBroken, wantsNewToken }: Ways): Sentence {
  const { condition, expiresAt, nextRefreshAt, failureCount } = account
  const hasExpired = expiresAt !== null && expiresAt <= now
  if (condition === 'paused') return say('Paused: nothing happens until you switch it on again.')
  if (condition === 'empty') return say(`It waits for its first token: ${way}.`)
  if (condition === 'needs you') {
    if (account.lastErrorCode === 'unreadable')
      return say(`Web sites get no token until the key that sealed it is back in ENCRYPTION_KEY. Where that key is lost, ${way}.`)
    if (hasExpired) return say(`The token has expired, and web sites get none: ${way}.`)
    if (isBroken) return say('Put right what is named above, then press “Try again now”; the agent tries again by itself', nextRefreshAt)
    // Where the error says the way already, it is not said twice.
    const todo = wantsNewToken ? '' : `${capital(way)}. `
    if (account.userId === null) return say(`${todo}Web sites get no token until then.`)
    return expiresAt === null ? say(`${capital(way)}.`) : say(`${todo}Web sites have the present token until it expires`, expiresAt)
  }
  if (account.wantsToken || isAtRisk) return warning(account, way)
  if (wantsNewToken)
    return say('The agent asks once more, in case that was an error of the provider’s,', nextRefreshAt, `; to be safe ${way}.`)
  if (failureCount > 0) return say('The last refresh failed; the agent tries again', nextRefreshAt, ', and you need not do anything.')
  if (condition === 'checking') return say('The agent asks the provider about the new token', nextRefreshAt)
  return say('The agent refreshes the token', nextRefreshAt, ', and you need not do anything.')
}

function warning({ wantsToken, failureCount, expiresAt }: Situation, way: string): Sentence {
  const failed = failureCount === 1 ? 'The last refresh failed' : `The last ${failureCount} refreshes failed`
  if (wantsToken) return say(`${failed}; the token expires`, expiresAt, `. The agent goes on trying; to be safe ${way}.`)
  if (failureCount === 0) return say('The token expires', expiresAt, '. The agent tries to refresh it before that.')
  return say(`${failed}. The agent goes on trying; the token is good until it expires`, expiresAt)
}

function say(before: string, at: Date | null = null, after = ''): Sentence {
  const isWhole = /[.]$/.test(before)
  return { before, at, after: isWhole || after !== '' ? after : '.' }
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)
