import { digest } from '../core/digest.ts'
import { isMarked, marked, type Vault } from '../core/vault.ts'
import type { Connected } from './connected.ts'
import type { KeptState, OAuthStateStore } from './oauth-states.ts'
import { choosing, connected, waiting } from './waiting-grant.ts'

interface Deps {
  readonly states: OAuthStateStore
  readonly vault: Vault
}

/** An authorization request, and how far it has come. */
export interface Authorization extends Omit<KeptState, 'provider'> {
  readonly provider: string
  /** The OAuth `state`. It identifies a question to the owner too. */
  readonly state: string
  readonly step: 'sent' | 'waiting' | 'choosing' | 'connected'
}

const STATE = 'oauth state'

/** Marks a random text as a state of this agent, so that a made-up one costs no look into the store. */
export const stateFrom = ({ vault }: Pick<Deps, 'vault'>, random: string): string => marked(vault, STATE, random)

/** Null if the state is made up, another browser's or another provider's, or deleted for its age. */
export async function findAuthorization(
  { vault, states }: Deps,
  { state, sessionId, provider }: { readonly state: string; readonly sessionId: string; readonly provider: string },
): Promise<Authorization | null> {
  const kept = isMarked(vault, STATE, state) ? await states.find(digest(state)) : null
  if (kept?.sessionId !== sessionId) return null
  const step = stepOf(kept, provider)
  return step === null ? null : { ...kept, provider, state, step }
}

function stepOf(kept: KeptState, provider: string): Authorization['step'] | null {
  switch (kept.provider) {
    case provider:
      return 'sent'
    case waiting(provider):
      return 'waiting'
    case choosing(provider):
      return 'choosing'
    case connected(provider):
      return 'connected'
    default:
      return null
  }
}

/** The result of a second click, where the first has been answered; null = it is not. */
export function answered({ step, account, usedSecondsAgo }: Authorization): Connected | null {
  const isDone = step === 'connected' || (step !== 'sent' && usedSecondsAgo !== null)
  return isDone ? { outcome: 'connected', account, username: null } : null
}

const underWay = new Map<string, Promise<Connected>>()

/** What this process is doing with the request at the moment. */
export const underWayFor = ({ id }: Authorization): Promise<Connected> | undefined => underWay.get(id)

/** Runs `work` once for each request. If another process was faster, `afterwards` runs. */
export function once(
  { states }: Deps,
  { id }: Authorization,
  work: () => Promise<Connected>,
  afterwards: () => Promise<Connected>,
): Promise<Connected> {
  const run = async (): Promise<Connected> => {
    if (!(await states.use(id))) {
      underWay.delete(id)
      return afterwards()
    }
    // After a failure a reload has to start over.
    return work().catch(async (error: unknown) => {
      await states.forget(id).catch(() => {})
      throw error
    })
  }
  const running = run().finally(() => underWay.delete(id))
  underWay.set(id, running)
  return running
}
