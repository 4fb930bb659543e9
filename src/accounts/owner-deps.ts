import type { Reach } from '../reading/token-reader.ts'
import type { RefreshDeps } from '../refreshing/refresh-account.ts'
import type { OAuthStateStore } from './oauth-states.ts'
import type { Overview } from './overview.ts'
import type { Pictures } from './pictures.ts'
import type { SignedRequests } from './signed-requests.ts'

/** What the owner's own doings need, in the browser or on the command line. */
export interface OwnerDeps extends RefreshDeps {
  readonly states: OAuthStateStore
  readonly signedRequests: SignedRequests
  readonly overview: Pick<Overview, 'page' | 'attempts' | 'lastAnswer'>
  readonly pictures: Pictures
  /** The agent's own origin. */
  readonly appUrl: string
  /** By account, of the configured tokens in force: so none of them pushes a later token out at the next start. */
  readonly seedFingerprints: ReadonlyMap<string, string>
  /** Tells the readers that `/token.js` may serve another account. */
  readonly publishDefault: () => Promise<Reach>
}
