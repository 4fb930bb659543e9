import { createOverview } from './account-queries.ts'
import { createAccountStore } from './account-store.ts'
import { createAlertStore } from './alert-store.ts'
import { createChannelStore } from './channel-store.ts'
import type { Database } from './database.ts'
import { createFeedSummaries } from './feed-summaries.ts'
import { createInstallationStore } from './installation.ts'
import { createLinkStore } from './link-store.ts'
import { createOAuthStateStore } from './oauth-states.ts'
import { createSessionStore } from './session-store.ts'
import { createSignInAttempts, createWrongPasswords } from './sign-in-attempts.ts'
import { createSignedRequests } from './signed-requests.ts'
import { createTimetable } from './timetable.ts'

/** Every store of one database, so that the wiring names parts and not tables. That of feeds is loaded with the first feed. */
export function createStores(db: Database) {
  return {
    accounts: createAccountStore(db),
    /** `keyPrefixes`: how values begin that the keys of this start can open. */
    createOverview: (keyPrefixes: readonly string[]) => createOverview(db, keyPrefixes),
    installation: createInstallationStore(db),
    timetable: createTimetable(db),
    alerts: createAlertStore(db),
    channels: createChannelStore(db),
    feedSummaries: createFeedSummaries(db),
    loadFeeds: async () => (await import('./feed-store.ts')).createFeedStore.bind(null, db),
    links: createLinkStore(db),
    oauthStates: createOAuthStateStore(db),
    signedRequests: createSignedRequests(db),
    sessions: createSessionStore(db),
    attempts: createSignInAttempts(db),
    wrongPasswords: createWrongPasswords(db),
  }
}
