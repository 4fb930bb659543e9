import type { FastifyRequest } from 'fastify'
import { type AccountSummary, totalOf } from '../../accounts/overview.ts'
import { type AdvisedAccount, describePage, type ViewDeps } from '../../accounts/view.ts'
import { needsPerson } from '../../core/account.ts'
import type { AllowList } from '../../reading/allow-list.ts'
import { sharedHostWarnings } from '../../reading/shared-hosts.ts'
import type { SignIn } from '../../sign-in/sign-in.ts'
import type { Status } from '../../status/status.ts'
import type { Settings, Site } from '../site.ts'
import { type AlertStep, describeAlerts, stepOf } from './alert-step.ts'
import { ALERT_WAYS } from './alert-ways.ts'
import type { StepState } from './labels.ts'
import { inTime } from './pages.ts'
import { type ProviderWay, waysOf } from './provider-ways.ts'
import { type TrialReading, type Visit, visitAs } from './visits.ts'

type NeededStep = 'database' | 'password' | 'token' | 'sites' | 'address' | 'works'
type StepName = NeededStep | 'alerts'

export interface SetupPage {
  /** The paragraph above the steps. */
  readonly lead: string
  readonly states: Readonly<Record<StepName, StepState>>
  readonly working: boolean | null
  /** There are accounts, and no token of them is confirmed yet; for the owner alone. */
  readonly waits: boolean
  /** Why the agent cannot use its database, if it knows. */
  readonly storeProblem: string | null
  /** The first accounts that need a person; empty for strangers. */
  readonly needy: readonly AdvisedAccount[]
  /** The default account; null for strangers. */
  readonly served: string | null
  /** The next step's variable with an example value. */
  readonly example: string
  readonly passwordMode: string
  /** The one-time password of this start has been used. */
  readonly passwordSpent: boolean
  /** Whether sign-in is possible now. */
  readonly canSignIn: boolean
  /** The token is served, but needs a person before it expires. */
  readonly servesRefused: boolean
  readonly ways: readonly ProviderWay[]
  /** The heading of the token's step; it names the provider if there is only one. */
  readonly aToken: string
  readonly visits: readonly Visit[]
  readonly moreVisits: number
  /** Whether the page may name the tried sites: an account's own list is for its owner only. */
  readonly namesSites: boolean
  /** Warnings about the configuration. */
  readonly warnings: readonly string[]
  readonly alerts: AlertStep
  /** The settings, for the table at the end. */
  readonly configured: readonly { readonly name: string; readonly value: string; readonly isCode?: boolean }[]
}

const MAX_NEEDY = 5

export interface SetupParts {
  readonly owner: ViewDeps & {
    /** Why configured tokens are not in use. */
    readonly seedNotes: () => Promise<string[]>
  }
  readonly status: Pick<Status, 'summary' | 'storeProblem' | 'channels' | 'readDeliveries'>
  readonly reading: TrialReading
  readonly signIn: Pick<SignIn, 'password'>
  readonly site: Site
}

/** The state of each setup step. In public it shows no account, time or error. */
export async function describeSetup(parts: SetupParts, request: FastifyRequest | null): Promise<SetupPage> {
  const isOwner = request !== null && request.ownerSession !== ''
  const { tested } = (request?.query ?? {}) as { tested?: unknown }
  const { owner, status, reading, signIn, site } = parts
  const { settings } = site
  const storeProblem = status.storeProblem()
  const [summary, found, served, alerts] = await Promise.all([
    storeProblem === null ? inTime(status.summary()) : null,
    inTime(reading.peek(null)),
    inTime(owner.store.find(null)),
    describeAlerts(status, { isOwner, tested }),
  ])
  const servesRefused = served !== null && needsPerson(served, owner.store.now())
  const needy = isOwner && summary !== null && isWorking(summary) === false ? await needyOf(owner) : []
  const own = found?.allowList ?? null
  const { visits, more } = visitAs(reading, settings.appUrl, found)
  const working = isWorking(summary)
  const hasSites = settings.allowedDomains !== null || own !== null
  const notes = isOwner ? ((await inTime(owner.seedNotes())) ?? []) : []
  const warnings = [...warningsFor(isOwner, settings.warnings, own), ...notes]
  const { mode } = signIn.password
  const spent = mode === 'one-time' && signIn.password.isSpent()
  const ways = waysOf(owner.providers, settings.appUrl)
  const [first] = ways
  const needed = statesOf({
    database: summary === null ? 'wrong' : 'done',
    password: mode === 'off' ? 'open' : isOwner && settings.warnings.some(isPasswordWarning) ? 'wrong' : 'done',
    token: summary !== null && working === false ? 'wrong' : working === true ? 'done' : 'open',
    sites: hasSites ? 'done' : 'open',
    address: settings.appUrlIsGuess ? 'open' : 'done',
    works: !hasSites ? 'open' : visits.every(({ works }) => works) && !servesRefused ? 'done' : working === null ? 'open' : 'wrong',
  })
  const states = { ...needed, alerts: stepOf(alerts) }
  return {
    lead: leadOf(states),
    states,
    working,
    waits: isOwner && working === null && summary !== null && totalOf(summary) > 0,
    storeProblem,
    needy,
    served: isOwner ? (served?.name ?? null) : null,
    example: exampleFor(states, mode, first === undefined ? '' : `${first.seedVariable}=${first.words.tokenBegins}`),
    passwordMode: mode,
    passwordSpent: spent,
    canSignIn: summary !== null && mode !== 'off' && !spent,
    servesRefused,
    ways,
    aToken: ways.length === 1 && first !== undefined ? first.words.aToken : 'A token',
    visits,
    moreVisits: more,
    namesSites: own === null || isOwner,
    warnings,
    alerts,
    configured: configuredOf(settings),
  }
}

function leadOf({ alerts, ...needed }: SetupPage['states']): string {
  const states = [...Object.values(needed), ...(alerts === 'wrong' ? [alerts] : [])]
  if (states.every((state) => state === 'done')) {
    const silent = alerts === 'optional' ? ' No alert has reached you yet; the last step says how one does.' : ''
    return `All is set up: your web site gets the current token, and the agent keeps it alive.${silent}`
  }
  const next = states.includes('next') ? '; go on where it says “Next”' : ''
  const wrong = states.includes('wrong') ? '; correct the steps marked “Needs attention”' : ''
  return `A few steps, from an empty agent to a feed on your web site. Finished steps are marked${next}${wrong}.`
}

function configuredOf(settings: Settings): SetupPage['configured'] {
  const quarter = 'a quarter of the token’s life is left'
  return [
    { name: 'Store', value: settings.store === 'postgres' ? 'Postgres' : 'embedded (SQLite)' },
    { name: 'Memcached', value: settings.hasMemcached ? 'yes' : 'no; not needed for one instance' },
    {
      name: 'Refresh',
      value: settings.refreshMode === 'cron' ? `${settings.refreshFrequency}, and always before ${quarter}` : `when ${quarter}`,
    },
    { name: 'Name of the constant', value: Object.values(settings.constantNames).join(', '), isCode: true },
    { name: 'Webhook', value: settings.hasWebhookSecret ? `on: POST ${settings.appUrl}/hooks/refresh` : 'off: WEBHOOK_SECRET is not set' },
    { name: 'Server keys', value: settings.hasServerKeys ? 'set' : 'none: SERVER_KEYS is not set' },
  ]
}

const isPasswordWarning = ({ text, forOwner }: Settings['warnings'][number]): boolean => forOwner && text.startsWith('ADMIN_PASSWORD:')

/** `own`: the default account's own list, if it has one. */
function warningsFor(isOwner: boolean, configured: Settings['warnings'], own: AllowList | null): string[] {
  if (!isOwner) return configured.filter(({ forOwner }) => !forOwner).map(({ text }) => text)
  const ofList = own === null ? [] : sharedHostWarnings(own).map((text) => `The account’s own list of web sites: ${text}`)
  return [...configured.map(({ text }) => text), ...ofList]
}

/** True if tokens can be served and no person is needed; null = no provider has confirmed a token yet. */
export function isWorking(summary: AccountSummary | null): boolean | null {
  // The store does not answer.
  if (summary === null) return false
  if (summary.needPerson + summary.unreadable + summary.nearEnd > 0) return false
  return summary.byState.active > 0 ? true : null
}

/** The first accounts that need attention. */
async function needyOf(owner: ViewDeps): Promise<readonly AdvisedAccount[]> {
  const found = await inTime(describePage(owner, { offset: 0, limit: MAX_NEEDY, search: '', onlyNeedy: true }))
  return found?.accounts ?? []
}

function exampleFor(states: SetupPage['states'], mode: string, ofToken: string): string {
  if (states.password === 'next' || (states.token !== 'next' && states.sites !== 'next' && mode === 'one-time'))
    return 'ADMIN_PASSWORD=a-long-password-of-yours'
  if (states.token === 'next') return ofToken
  if (states.address === 'next') return 'APP_URL=https://token.example.com'
  if (states.sites === 'next' || states.alerts !== 'optional') return 'ALLOWED_DOMAINS=www.example.com'
  return `ALERT_WEBHOOK_URL=${ALERT_WAYS[0]?.examples[0]?.value}`
}

function statesOf(results: Record<NeededStep, 'done' | 'wrong' | 'open'>): Record<NeededStep, StepState> {
  const names = Object.keys(results) as NeededStep[]
  // Without the database no later step can be done.
  const first = results.database === 'wrong' ? undefined : names.find((name) => results[name] === 'open')
  const states = names.map((name) => [name, results[name] !== 'open' ? results[name] : name === first ? 'next' : 'later'])
  return Object.fromEntries(states) as Record<NeededStep, StepState>
}
