import type { Snapshot } from '../application/read-token.ts'
import type { RefreshSummary } from '../application/refresh-due.ts'
import type { StatusReport } from '../application/report-status.ts'
import type { SignInDeps } from '../application/sign-in.ts'
import type { AllowList } from '../domain/allow-list.ts'

/** How the agent is doing, as `/readyz` tells it. */
export interface Health {
  readonly ready: boolean
  readonly parts: Readonly<Record<string, PartHealth>>
}

export interface PartHealth {
  readonly state: string
  readonly since: Date
}

/** What the pages may know of the configuration: no secret among it. */
export interface Settings {
  readonly appUrl: string
  readonly appUrlIsGuess: boolean
  readonly jsConstantName: string
  readonly hideHelpPages: boolean
  readonly allowedDomains: string | null
  readonly hasStartingToken: boolean
  readonly hasWebhookSecret: boolean
  readonly hasServerKeys: boolean
  readonly store: 'postgres' | 'sqlite'
  readonly hasMemcached: boolean
  readonly refreshFrequency: string
  readonly refreshMode: string
}

/** Everything the web server calls; filled in services.ts. */
export interface HttpDeps {
  readonly settings: Settings
  readonly allowList: AllowList
  /** Null where no WEBHOOK_SECRET is set: nobody may call the hook then. */
  readonly isWebhookSecret: ((token: string) => boolean) | null
  readonly isServerKey: (token: string) => boolean
  readonly readToken: (account: string) => Snapshot | Promise<Snapshot>
  readonly now: () => Date
  readonly refreshDue: () => Promise<RefreshSummary>
  readonly reportStatus: () => Promise<StatusReport>
  readonly health: () => Promise<Health>
  readonly signIn: SignInDeps
  /** Folder of the templates and the stylesheet. */
  readonly viewsFolder: string
}
