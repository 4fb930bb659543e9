import { chooseAccount, confirmConnect, declineConnect, finishConnect } from '../accounts/connect.ts'
import type { ConnectDeps, Connected } from '../accounts/connected.ts'
import { endTrip, type OpenTrip, TERMINAL_SESSION } from '../accounts/terminal-trip.ts'
import { AppError, ConnectError } from '../core/errors.ts'
import type { AuthSettings } from './auth-settings.ts'
import type { Answer } from './pasted-answer.ts'
import { say } from './terminal.ts'

/** Asks the person at the terminal; null = there is none, or no more input. */
export type Ask = (question: string) => Promise<string | null>

export type ConnectedAccount = Extract<Connected, { outcome: 'connected' }>

interface Finish {
  readonly settings: AuthSettings
  readonly trip: OpenTrip
  readonly ask: Ask
}

/**
 * Exchanges the answer's code and asks what only a person can decide. Throws an AppError or a ConnectError; nothing of the
 * request is left then.
 */
export async function connectWith(deps: ConnectDeps, answer: Answer, { settings, trip, ask }: Finish): Promise<ConnectedAccount> {
  const provider = settings.provider.name
  const place = { provider, sessionId: TERMINAL_SESSION, answer: trip.state }
  try {
    let result = await finishConnect(deps, { ...answer, provider, sessionId: TERMINAL_SESSION, state: trip.state })
    if (result.outcome === 'choice') {
      const choice = await chosen(result, settings, ask)
      result = await chooseAccount(deps, { ...place, choice })
    }
    if (result.outcome === 'other_user') {
      await mustAgree(deps, result, settings, ask)
      result = await confirmConnect(deps, place)
    }
    if (result.outcome !== 'connected') throw new Error('unreachable: each question is answered once')
    return result
  } catch (error) {
    await declineConnect(deps, place).catch(() => null)
    await endTrip(deps, trip).catch(() => {})
    throw error
  }
}

async function chosen({ choices }: Extract<Connected, { outcome: 'choice' }>, { objectId }: AuthSettings, ask: Ask): Promise<string> {
  const only = choices.find(({ id }) => id === objectId)
  if (only !== undefined) return only.id
  const list = choices.map(
    ({ id, username, detail }, at) => `  ${at + 1}  ${username === null ? id : `@${username}`}  ${printed(detail)}  ${id}`,
  )
  say(`${objectId === null ? '' : 'The login does not lead to this --object-id. '}The login leads to these accounts:\n${list.join('\n')}`)
  const typed = await ask(`Which one, 1 to ${choices.length}? `)
  const choice = choices[Number(typed?.trim()) - 1]
  if (choice === undefined)
    throw new AppError('conflict', 'No account was chosen, and nothing was changed. Name one with --object-id and its number.')
  return choice.id
}

/** Throws where nobody agrees that this user becomes the account's. */
async function mustAgree(
  { store }: ConnectDeps,
  { account, present, username }: Extract<Connected, { outcome: 'other_user' }>,
  { otherUser }: AuthSettings,
  ask: Ask,
): Promise<void> {
  const isFirst = ((await store.find(account))?.providerUserId ?? null) === null
  if (!isFirst && otherUser) return
  const who = username === null ? 'this user, whose name the provider does not tell,' : `@${printed(username)}`
  const before = present === null ? 'another user' : `@${printed(present)}`
  const typed = await ask(
    isFirst ? `Connect ${who} as ${account}? [y/N] ` : `“${account}” is connected as ${before}. Connect ${who} in its place? [y/N] `,
  )
  if (/^y(?:es)?$/i.test(typed?.trim() ?? '')) return
  if (isFirst || typed !== null) throw new AppError('conflict', 'Nothing was changed.')
  throw new AppError(
    'conflict',
    `“${account}” is connected as ${before}, and ${who} has approved now. Nothing was changed. If you want that, add --other-user.`,
  )
}

/** Names are free text at some providers. */
const printed = (text: string): string => text.replace(/\p{C}/gu, '')

/** The sentence of an error, with the way to go on from a terminal. */
export function sentenceOf(error: unknown): string {
  if (error instanceof ConnectError)
    return error.message.replace(/press “Connect [^”]+” again/gi, (words) =>
      words.startsWith('P') ? 'Run the command again' : 'run the command again',
    )
  return error instanceof Error ? error.message : String(error)
}
