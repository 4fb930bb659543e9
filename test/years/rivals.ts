import type { Kind } from './kind.ts'
import { Ledger } from './ledger.ts'
import { actsAfterAlert, noticesByPage } from './operator.ts'
import { type AccountScript, CRASH_ONCE_IN, DAY_MS, HOUR_MS, type Host, type Script } from './script.ts'

// How the programs that people use today keep an Instagram token alive, each in its few lines. In their favour: each stores
// what a refresh returns, also where the original does not, and a visit from outside wakes a machine that sleeps.

interface Held {
  token: string
  /** What the person gave. */
  readonly startingToken: string
  /** As the answers said. */
  expiresAt: number
  /** From 0 to 1: the hour of this owner's schedule. */
  readonly phase: number
  /** The last call did not come to a new token. */
  hasFailed: boolean
}

interface Rival {
  readonly policy: string
  /** When it calls the provider next, after `after`. */
  next(held: Held, after: number, host: Host): number
  failed?(held: Held): void
  /** Each Monday it sends a mail while the token does not work. */
  readonly mails?: boolean
}

const WEEK_MS = 7 * DAY_MS
const LIFE_MS = 60 * DAY_MS
const NEVER = Number.POSITIVE_INFINITY

/** The next of the moments that come every so often. */
const slot = (everyMs: number, phase: number, after: number): number =>
  Math.floor((after - phase * everyMs) / everyMs + 1) * everyMs + phase * everyMs

export const RIVALS: readonly Rival[] = [
  {
    // https://github.com/companionstudio/instagram-token-agent, lib/instagram_token_agent/client.rb: weekly, by an add-on that
    // calls the app; after any failure STARTING_TOKEN takes the place of the token in hand.
    policy: 'Ruby agent, weekly',
    next: ({ phase }, after) => slot(WEEK_MS, phase, after),
    failed(held) {
      held.token = held.startingToken
    },
  },
  {
    // The same, REFRESH_MODE=scheduled: one job, two days before the end (token_expiry_buffer); after a failure there is none.
    policy: 'Ruby agent, one try at day 58',
    next: ({ expiresAt, hasFailed }, after) => (hasFailed ? NEVER : Math.max(after, expiresAt - 2 * DAY_MS)),
    failed(held) {
      held.token = held.startingToken
    },
  },
  {
    // https://github.com/Koli14/instaPhpProxy, refresh.php: an address that a free cron service calls once a week.
    policy: 'weekly cron',
    next: ({ phase }, after) => slot(WEEK_MS, phase, after),
  },
  {
    // https://github.com/rolandOrtiz28/editedge-crmapi, routes/InstagramAuth.js: a timer of 20 days, which begins again with
    // each start of the process.
    policy: 'timer of 20 days from the process’s start',
    next(_held, after, { starts }) {
      for (let index = starts.findLastIndex((start) => start <= after); index < starts.length; index++) {
        const start = starts[index] ?? NEVER
        const next = slot(20 * DAY_MS, 0, Math.max(0, after - start)) + start
        if (next < (starts[index + 1] ?? NEVER)) return next
      }
      return NEVER
    },
  },
  {
    // Smash Balloon Instagram Feed for WordPress, instagram-feed.php: twice a day once less than 40 days are left
    // (SBI_REFRESH_THRESHOLD_OFFSET), and a weekly mail while Instagram refuses (sb_instagram_feed_issue_email).
    policy: 'WordPress plug-in, twice a day under 40 days left',
    next: ({ expiresAt, phase }, after) => slot(DAY_MS / 2, phase, Math.max(after, expiresAt - 40 * DAY_MS)),
    mails: true,
  },
]

export function runRival(kind: Kind, script: Script, rival: Rival): Ledger {
  const ledger = new Ledger()
  for (const host of script.hosts) for (const account of host.accounts) new Account(kind, script, { rival, host, account, ledger }).run()
  return ledger
}

interface Place {
  readonly rival: Rival
  readonly host: Host
  readonly account: AccountScript
  readonly ledger: Ledger
}

class Account {
  readonly #kind: Kind
  readonly #script: Script
  readonly #place: Place

  constructor(kind: Kind, script: Script, place: Place) {
    this.#kind = kind
    this.#script = script
    this.#place = place
  }

  #connect(at: number): Held {
    const token = this.#kind.connect(this.#place.account, at)
    return {
      token,
      startingToken: token,
      expiresAt: at + LIFE_MS,
      phase: this.#script.fraction(this.#place.account.name),
      hasFailed: false,
    }
  }

  run(): void {
    const { rival, host, account, ledger } = this.#place
    const { start, end } = this.#script
    let held = this.#connect(start)
    for (let at = start; at < end; ) {
      const deadAt = this.#kind.workingUntil(held.token)
      const { endsAt } = this.#kind.grantOf(held.token)
      // Six o'clock on the second Monday of January 1970 was 4 days and 6 hours after its beginning.
      const mailAt = rival.mails ? host.blind.outside(slot(WEEK_MS, (4 * DAY_MS + 6 * HOUR_MS) / WEEK_MS, deadAt)) : NEVER
      const mailed = rival.mails ? actsAfterAlert(this.#script, host, account.name, mailAt) : NEVER
      const personAt = Math.max(at, Math.min(mailed, noticesByPage(this.#script, host, account.name, deadAt)))
      const callAt = rival.next(held, at, host)
      const next = Math.min(callAt, personAt, end)
      ledger.dead(Math.max(at, deadAt), next, endsAt)
      at = next
      if (next === end) break
      if (next === personAt) {
        const isMailed = mailAt <= personAt
        if (isMailed) ledger.alert(true)
        if (endsAt <= at) {
          if (isMailed) ledger.alertedAfter(mailAt - endsAt - host.blind.coveredMs(endsAt, mailAt))
          else ledger.unalerted()
        }
        this.#kind.restore(account, at)
        held = this.#connect(at)
      } else this.#call(held, at)
    }
  }

  #call(held: Held, at: number): void {
    const { rival, host, account } = this.#place
    held.hasFailed = true
    if (host.absent.at(at) !== null) return
    const answer = host.databaseDown.at(at) === null ? this.#kind.answer(host, '/refresh_access_token', held.token, at) : null
    if (answer?.status !== 200) {
      rival.failed?.(held)
      return
    }
    const { access_token, expires_in } = answer.body as { access_token: string; expires_in: number }
    if (this.#script.happens('crash', account.name, at, CRASH_ONCE_IN)) this.#kind.lose(held.token, at)
    else Object.assign(held, { token: access_token, expiresAt: at + expires_in * 1000, hasFailed: false })
  }
}
