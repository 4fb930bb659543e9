import type { Connector } from '../core/connector.ts'
import type { Reach } from '../reading/token-reader.ts'
import type { RefreshDeps } from '../refreshing/refresh-account.ts'
import type { OAuthStateStore } from './oauth-states.ts'
import type { Overview } from './overview.ts'
import type { Pictures } from './pictures.ts'
import type { SignedRequests } from './signed-requests.ts'

/** What the owner's own doings need, in the browser or on the command line. */
export interface OwnerDeps extends RefreshDeps {
  /** Of the providers whose app credentials are known. */
  readonly connectors: ReadonlyMap<string, Connector>
  readonly states: OAuthStateStore
  readonly signedRequests: SignedRequests
  readonly overview: Pick<Overview, 'page' | 'attempts' | 'lastAnswer'>
  readonly pictures: Pictures
  /** The agent's own origin. */
  readonly appUrl: string
  /** Of the `STARTING_TOKEN` in force, so that it does not push a later token out at the next start. */
  readonly startingFingerprint: string | null
  /** Tells the readers that `/token.js` may serve another account. */
  readonly publishDefault: () => Promise<Reach>
}
