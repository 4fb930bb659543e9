import type { Claim } from '../core/account-store.ts'
import { ProviderError } from '../core/errors.ts'
import type { Grant, HeldTokens, Provider } from '../core/provider.ts'
import type { Outcome } from './outcome.ts'

/** `doubted` of an account whose last refresh got no answer: the provider may have voided the token in hand. */
const LOST_ANSWER = 'lost answer'

/** The time limit of the second try. */
export const secondTryMs = (timeoutMs: number): number => timeoutMs / 3

/**
 * Spends the refresh token. A rotating provider may void it with an answer that never arrives, so it is tried once more at
 * once. Where the provider then refuses it, the loss is the agent's own, and the error says so.
 */
export async function refreshRotating(provider: Provider, tokens: HeldTokens, { account, interruptedAt }: Claim): Promise<Grant> {
  const held = { ...tokens, userId: account.providerUserId }
  let isLost = interruptedAt !== null || account.doubted === LOST_ANSWER
  try {
    return await provider.refresh(held).catch((error: unknown) => {
      if (!(error instanceof ProviderError && error.isAnswerLost)) throw error
      isLost = true
      return provider.refresh(held, secondTryMs(provider.timeoutMs))
    })
  } catch (error) {
    if (!isLost || !(error instanceof ProviderError) || error.kind !== 'reconnect') throw error
    throw new ProviderError(
      'reconnect',
      `${provider.title} answered an earlier refresh, and the agent never got that answer: the token in it is lost, and the old one is void. That is the agent’s loss, not a refusal of the user: connect the account again.`,
      { cause: error },
    )
  }
}

/** Remembers that an answer was lost, until a refresh succeeds. */
export function withLostAnswer(outcome: Outcome, { account, interruptedAt }: Claim, error: unknown, now: Date): Outcome {
  const isLost = interruptedAt !== null || (error instanceof ProviderError && error.isAnswerLost)
  if (account.refreshToken === null || !isLost || account.doubted === LOST_ANSWER) return outcome
  return { ...outcome, change: { ...outcome.change, doubted: LOST_ANSWER, doubtedAt: now } }
}
