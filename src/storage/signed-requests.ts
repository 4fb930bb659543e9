import type { SignedRequests } from '../accounts/deauthorize.ts'
import { createAccountStore } from './account-store.ts'
import type { Database } from './database.ts'
import { isErased, noteUser } from './erased-users.ts'
import { createLinkStore } from './link-store.ts'
import { createOAuthStateStore } from './oauth-states.ts'

const RETENTION_SECONDS = 2 * 24 * 3600

export function createSignedRequests(db: Database): SignedRequests {
  const { now, nowPlus } = db.dialect
  return {
    answerOnce: (digest, effect) =>
      db.transaction(async (tx) => {
        // The insert comes first, so that the second of two equal calls waits here for the answer of the first.
        const [begun] = await tx.query<{ clock: Date | string }>(
          `insert into signed_requests (digest, answer) values ($1, '') on conflict (digest) do nothing returning ${now} as clock`,
          [digest],
        )
        if (begun === undefined) {
          const [row] = await tx.query<{ answer: string }>('select answer from signed_requests where digest = $1', [digest])
          return row?.answer ?? ''
        }
        const within: Database = { ...db, query: tx.query, transaction: (work) => work(tx) }
        const stores = { store: createAccountStore(within), states: createOAuthStateStore(within), links: createLinkStore(within) }
        const scope = { ...stores, noteUser: (code: string, at: Date) => noteUser(tx, code, at), now: new Date(begun.clock) }
        const { answer, keepForGood } = await effect(scope)
        await tx.query(`update signed_requests set answer = $2, at = ${keepForGood ? 'null' : now} where digest = $1`, [digest, answer])
        return answer
      }),
    unlessErased: (arrival, save) =>
      db.transaction(async (tx) => {
        if (await isErased(tx, arrival)) return false
        await save?.(createAccountStore({ ...db, query: tx.query, transaction: (work) => work(tx) }))
        return true
      }),
    async clear() {
      await db.query(`delete from signed_requests where at < ${nowPlus('$1')}`, [-RETENTION_SECONDS])
    },
  }
}
