import { randomId } from '../core/digest.ts'
import { Secret } from '../core/secret.ts'
import { type SealContext, tryOpen, type Vault } from '../core/vault.ts'
import { type SignInAttempts, TURN_MS } from './session-store.ts'

export interface DrawDeps {
  readonly attempts: Pick<SignInAttempts, 'takeTurn' | 'spend'>
  readonly vault: Vault
  /** By the clock of the database, which all instances share. */
  readonly nowMs: () => number
  readonly time?: DrawTime
}

/** A clock that only goes forward, its timer, and chance. */
export interface DrawTime {
  clockMs(): number
  sleep(ms: number): Promise<void>
  random(): number
}

export interface Draw {
  /** Waits for the next draw, a third of a second at most. Who is not drawn gets a ticket for the next one. */
  enter(ticket: string | null): Promise<{ readonly drawn: true } | { readonly drawn: false; readonly ticket: string }>
}

interface Ticket {
  readonly id: string
  /** How often its holder was turned away; 0 = the first time. */
  readonly waits: number
}

interface Candidate extends Ticket {
  /** A random number below 1: of those with the same number of waits the lowest is drawn. */
  readonly lot: number
  readonly arrivedAtMs: number
  readonly drawn: () => void
  readonly turnedAway: (next: Ticket) => void
  readonly failed: (error: unknown) => void
}

const PLACE: SealContext = { table: 'cookies', row: 'sign-in ticket', column: 'waits' }
// Told to come back after one second: a client's clock, or that of another instance, may be a little ahead.
const TICKET_FROM_MS = 900
const TICKET_UNTIL_MS = 5_000
const SPREAD_MS = 80
/** Beyond it those with the worst lots are turned away at once: a flood does not fill the memory. */
const MAX_WAITING = 256

const REAL_TIME: DrawTime = {
  clockMs: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  random: Math.random,
}

/**
 * Which sign-in is looked at next. All that have arrived take part in a draw; one is looked at, the others are turned away
 * with a ticket. Those who come back with it go first, the most often turned away before all: guessers cannot stay ahead
 * of an owner who keeps coming back, for each of their tickets ends with its look.
 */
export function createDraw({ attempts, vault, nowMs, time = REAL_TIME }: DrawDeps): Draw {
  let waiting: Candidate[] = []
  let isRunning = false
  let opensAtMs = 0

  function read(sealed: string | null): Ticket {
    const [id, waits, at] = (sealed === null ? null : tryOpen(vault, sealed, PLACE))?.reveal().split(' ') ?? []
    const ageMs = nowMs() - Number(at)
    const isValid = id !== undefined && ageMs >= TICKET_FROM_MS && ageMs <= TICKET_UNTIL_MS
    return isValid ? { id, waits: Number(waits) } : newTicket()
  }

  const newTicket = (): Ticket => ({ id: randomId(), waits: 0 })
  const seal = ({ id, waits }: Ticket): string => vault.seal(new Secret(`${id} ${waits} ${Math.round(nowMs())}`), PLACE)

  /** The best first, in the order in which all instances would draw them. */
  const ranked = (): Candidate[] => waiting.sort((a, b) => b.waits - a.waits || a.lot - b.lot)

  async function run(): Promise<void> {
    try {
      while (waiting.length > 0) {
        await time.sleep(Math.max(0, opensAtMs - time.clockMs()))
        const best = ranked()[0]
        // Each instance knows its own candidates alone. It tries the sooner, the better its best one is: so the best of all
        // instances takes the turn, and of equal ones chance decides, wherever they are.
        if (best !== undefined) await time.sleep((SPREAD_MS * (1 + best.lot)) / 2 ** (best.waits + 1))
        const turn = await attempts.takeTurn()
        opensAtMs = time.clockMs() + (turn.taken ? TURN_MS : turn.opensInMs)
        if (turn.taken) await draw([...ranked()])
        // Who had arrived when another instance took the turn has lost this draw; the others wait for the next one.
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
      // A ticket that was copied is good for one look all the same.
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
