import type { FastifyBaseLogger } from 'fastify'
import type { AccountSummary } from '../accounts/overview.ts'
import type { OwnerDeps } from '../accounts/owner-deps.ts'
import type { AllowList } from '../reading/allow-list.ts'
import type { LastHour } from '../reading/read-counts.ts'
import type { ReadMeter } from '../reading/read-meter.ts'
import type { Snapshot } from '../reading/snapshot.ts'
import type { RefreshSummary } from '../refreshing/refresh-due.ts'
import type { SignIn } from '../sign-in/sign-in.ts'
import type { Health } from '../status/health.ts'

/** What the pages may know of the configuration: no secret among it. */
export interface Settings {
  readonly appUrl: string
  readonly appUrlIsGuess: boolean
  /** Whose way to keep variables the setup page shows first. */
  readonly platform: string
  /** The line that runs a command of the agent on this platform, such as `seed shop`; pages show no other form. */
  readonly command: (words: string) => string
  readonly jsConstantName: string
  readonly hideHelpPages: boolean
  /** In full, as browsers write origins. */
  readonly allowedDomains: string | null
  /** Of the configuration; `forOwner` ones are not for strangers. */
  readonly warnings: readonly { readonly text: string; readonly forOwner: boolean }[]
  readonly hasWebhookSecret: boolean
  readonly hasServerKeys: boolean
  readonly store: 'postgres' | 'sqlite'
  readonly hasMemcached: boolean
  readonly refreshFrequency: string
  readonly refreshMode: string
}

export interface Metering {
  readonly isKey: (token: string) => boolean
  readonly reads: ReadMeter
  readonly contentType: string
  render(): Promise<string>
}

/** Everything the web server calls; filled in services.ts. */
export interface HttpDeps {
  readonly settings: Settings
  /** Not `request.log`, which would have to be made for each request. */
  readonly log: FastifyBaseLogger
  readonly allowList: AllowList
  /** Null where no WEBHOOK_SECRET is set: nobody may call the hook then. */
  readonly isWebhookSecret: ((token: string) => boolean) | null
  readonly isServerKey: (token: string) => boolean
  /** Null = the account that the addresses without a name serve. */
  readonly readToken: (account: string | null) => Snapshot | Promise<Snapshot>
  /** The same for a page of the agent's own: it is no read. */
  readonly lookAtToken: (account: string | null) => Promise<Snapshot>
  readonly now: () => Date
  readonly nowMs: () => number
  /** `reqId` leads from the request to the log lines of its attempts. */
  readonly refreshDue: (reqId: string) => Promise<RefreshSummary>
  readonly stock: () => Promise<AccountSummary>
  /** For the owner's pages: many accounts are counted again meanwhile. */
  readonly recount: () => Promise<void>
  /** What keeps the agent from using its store, where it knows more than that there is no answer. */
  readonly storeProblem: () => string | null
  readonly health: () => Promise<Health>
  /** Where this process found the tokens that it gave out. */
  readonly lastHour: () => LastHour
  /** Null where no METRICS_KEY is set: nobody may see it then. */
  readonly metering: Metering | null
  readonly signIn: SignIn
  readonly owner: OwnerDeps
  /** Folder of the templates and the stylesheet. */
  readonly viewsFolder: string
}
