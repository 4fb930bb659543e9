import { setTimeout as sleep } from 'node:timers/promises'
import { randomId } from '../core/digest.ts'
import { Secret } from '../core/secret.ts'
import { type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import { type SignInAttempts, TURN_MS } from './session-store.ts'

export interface DrawDeps {
  readonly attempts: Pick<SignInAttempts, 'takeTurn' | 'spend'>
  readonly vault: Vault
  /** The clock of the database, which all instances share. */
  readonly nowMs: () => number
  readonly time?: DrawTime
}

/** A monotonic clock, its timer, and a source of randomness: parameters for tests. */
export interface DrawTime {
  clockMs(): number
  sleep(ms: number): Promise<void>
  random(): number
}

export interface Draw {
  /** Waits for the next draw, a third of a second at most. A sign-in that is not drawn gets a ticket for a later draw. */
  enter(ticket: string | null): Promise<{ readonly drawn: true } | { readonly drawn: false; readonly ticket: string }>
}

interface Ticket {
  readonly id: string
  /** How many draws its holder has lost. */
  readonly waits: number
}

interface Candidate extends Ticket {
  /** Random, from 0 to 1. Among candidates with the same `waits` the lowest is drawn. */
  readonly lot: number
  readonly arrivedAtMs: number
  readonly drawn: () => void
  readonly turnedAway: (next: Ticket) => void
  readonly failed: (error: unknown) => void
}

const SEAL_CONTEXT: SealContext = { table: 'cookies', row: 'sign-in ticket', column: 'waits' }
// Clients wait one second. The 100 ms less allow for a clock that is a little ahead.
const TICKET_FROM_MS = 900
const TICKET_UNTIL_MS = 5_000
const SPREAD_MS = 80
/** Beyond it the lowest-ranked candidates are turned away at once, so that a flood does not fill the memory. */
const MAX_WAITING = 256

const REAL_TIME: DrawTime = {
  clockMs: () => performance.now(),
  sleep,
  random: Math.random,
}

/**
 * Draws the sign-in whose password is checked next. Each sign-in that has arrived takes part; the losers get a ticket.
 * Candidates with more lost draws rank higher. A ticket ends once its password is checked, so guessers cannot stay ahead
 * of an owner who keeps trying.
 */
export function createDraw({ attempts, vault, nowMs, time = REAL_TIME }: DrawDeps): Draw {
  let waiting: Candidate[] = []
  let isRunning = false
  let opensAtMs = 0

  function read(sealed: string | null): Ticket {
    const [id, waits, at] = (sealed === null ? null : tryOpen(vault, sealed, SEAL_CONTEXT))?.reveal().split(' ') ?? []
    const ageMs = nowMs() - Number(at)
    const isValid = id !== undefined && ageMs >= TICKET_FROM_MS && ageMs <= TICKET_UNTIL_MS
    return isValid ? { id, waits: Number(waits) } : newTicket()
  }

  const newTicket = (): Ticket => ({ id: randomId(), waits: 0 })
  const seal = ({ id, waits }: Ticket): string => vault.seal(new Secret(`${id} ${waits} ${Math.round(nowMs())}`), SEAL_CONTEXT)

  /** Best first. All instances rank by the same rule. */
  const ranked = (): Candidate[] => waiting.sort((a, b) => b.waits - a.waits || a.lot - b.lot)

  async function run(): Promise<void> {
    try {
      while (waiting.length > 0) {
        await time.sleep(Math.max(0, opensAtMs - time.clockMs()))
        const best = ranked()[0]
        // Each instance knows only its own candidates. The better its best one, the sooner it tries to take the turn, so
        // the best of all instances usually wins.
        if (best !== undefined) await time.sleep((SPREAD_MS * (1 + best.lot)) / 2 ** (best.waits + 1))
        const turn = await attempts.takeTurn()
        opensAtMs = time.clockMs() + (turn.taken ? TURN_MS : turn.opensInMs)
        if (turn.taken) await draw([...ranked()])
        // Candidates that arrived before another instance took the turn lost this draw; later ones stay for the next.
        else turnAway(waiting.filter(({ arrivedAtMs }) => arrivedAtMs < opensAtMs - TURN_MS))
      }
    } catch (error) {
      for (const one of waiting.splice(0)) one.failed(error)
    } finally {
      isRunning = false
    }
  }

  async function draw(round: readonly Candidate[]): Promise<void> {
    const spent = new Set<string>()
    let winner: Candidate | null = null
    for (const one of round) {
      if (spent.has(one.id)) continue
      // Spending it makes a copied ticket worthless.
      if (one.waits === 0 || (await attempts.spend(one.id))) {
        winner = one
        break
      }
      spent.add(one.id)
    }
    winner?.drawn()
    waiting = waiting.filter((one) => one !== winner)
    turnAway(
      round.filter((one) => one !== winner),
      spent,
    )
  }

  function turnAway(those: readonly Candidate[], spent?: ReadonlySet<string>): void {
    const gone = new Set(those)
    waiting = waiting.filter((one) => !gone.has(one))
    for (const one of those) one.turnedAway(spent?.has(one.id) ? newTicket() : one)
  }

  return {
    enter: (sealed) =>
      new Promise((resolve, reject) => {
        const ticket = read(sealed)
        waiting.push({
          ...ticket,
          lot: time.random(),
          arrivedAtMs: time.clockMs(),
          drawn: () => resolve({ drawn: true }),
          turnedAway: ({ id, waits }) => resolve({ drawn: false, ticket: seal({ id, waits: waits + 1 }) }),
          failed: reject,
        })
        if (waiting.length > MAX_WAITING) turnAway(ranked().slice(MAX_WAITING))
        if (isRunning) return
        isRunning = true
        void run()
      }),
  }
}
