/** A sentence with an instant in it. The page shows the instant in the reader's time zone. */
export interface Sentence {
  readonly before: string
  readonly at: Date | null
  readonly after: string
}

/** A remedy that has a button: a new token, another try after the cause is fixed, or the end of a pause. */
export type Remedy = 'new token' | 'try again' | 'switch on'

export interface NextStep {
  /** The next event, and when. */
  readonly next: Sentence
  /** The one thing for the owner to do; null = nothing. */
  readonly remedy: Remedy | null
  /** The last error, with the remedy that works here. */
  readonly error: string | null
  /** Counted and listed among the accounts that need their owner. */
  readonly needsAttention: boolean
}

/** The facts of an account that decide its next step. */
export interface Situation {
  /** The provider's; null until the provider has confirmed a token. */
  readonly userId: string | null
  readonly condition: 'working' | 'paused' | 'empty' | 'checking' | 'needs you'
  /** The token's first characters and its length; null = no token. */
  readonly token: string | null
  readonly expiresAt: Date | null
  /** From then on only the user's new approval helps; null = unknown, or the end of the token itself. */
  readonly grantEnd: Date | null
  /** The token to serve has ended, and the agent asks the provider for the next one. */
  readonly isWaiting: boolean
  readonly nextRefreshAt: Date | null
  /** Failed refreshes since the last success. */
  readonly failureCount: number
  /** The account needs a new token from its owner, or a new one would be safer. */
  readonly wantsToken: boolean
  /** The account can be connected by OAuth. */
  readonly canConnect: boolean
  readonly lastErrorCode: string | null
  readonly lastError: string | null
}

export interface StepFacts {
  readonly now: Date
  /** See `isAtRisk`. */
  readonly isAtRisk: boolean
  /** The words in a provider's errors that ask for a new token; null = unknown provider. */
  readonly makeNewToken: string | null
}

/** The owner's next step. It names only remedies that work on this agent. */
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

/** The provider's words with the way to a new token that works on this page. */
function here(makeNewToken: string, way: string | null): string {
  return way === null ? makeNewToken.replace('give it to the agent', 'paste it here') : `${way}.`
}

interface Ways {
  /** To a new token. */
  readonly way: string
  /** The cause lies outside the agent, such as a wrong app secret. */
  readonly isBroken: boolean
  readonly wantsNewToken: boolean
}

function whatNext(account: Situation, { now, isAtRisk }: StepFacts, { way, isBroken, wantsNewToken }: Ways): Sentence {
  const { condition, expiresAt, grantEnd, isWaiting, nextRefreshAt, failureCount } = account
  const end = grantEnd ?? expiresAt
  const hasExpired = end !== null && end <= now
  if (condition === 'paused') return say('Paused: nothing happens until you switch it on again.')
  if (condition === 'empty') return say(`It waits for its first token: ${way}.`)
  if (condition === 'needs you') {
    if (account.lastErrorCode === 'unreadable')
      return say(`Web sites get no token until the key that sealed it is back in ENCRYPTION_KEY. If that key is lost, ${way}.`)
    if (hasExpired) return say(`The token has expired, and web sites get none: ${way}.`)
    if (isBroken) return say('Correct the problem above, then press “Try again now”; the agent tries again by itself', nextRefreshAt)
    // The error itself may name the way already.
    const todo = wantsNewToken ? '' : `${capital(way)}. `
    if (account.userId === null) return say(`${todo}Web sites get no token until then.`)
    return expiresAt === null ? say(`${capital(way)}.`) : say(`${todo}Web sites have the present token until it expires`, expiresAt)
  }
  if (grantEnd !== null && account.wantsToken) return say(`Only you can keep it alive: ${way} before`, grantEnd)
  if (isWaiting) return say('Web sites get no token until the provider gives the next one; the agent asks again', nextRefreshAt)
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
