import { createHash, randomBytes } from 'node:crypto'
import type { InstallationStore } from '../core/installation.ts'
import type { Database } from './database.ts'
import { toDate } from './rows.ts'

interface InstallationRow {
  readonly cache_id: string | null
  readonly signed_out_at: Date | string | null
  readonly copied_at: Date | string | null
}

export function createInstallationStore(db: Database): InstallationStore {
  return {
    async read() {
      const [row] = await db.query<InstallationRow>('select cache_id, signed_out_at, copied_at from installation where id = 1')
      return row?.cache_id == null
        ? null
        : { cacheId: row.cache_id, signedOutAt: toDate(row.signed_out_at), copiedAt: toDate(row.copied_at) }
    },
    async signOutEverywhere() {
      await db.query(`update installation set signed_out_at = ${db.dialect.now} where id = 1`)
    },
  }
}

/**
 * Gives the store its namespace in a shared cache. A copy of a store (a fork, a restored dump) has another address or
 * place and gets its own, so that neither serves the other's cached values.
 */
export async function prepareInstallation(db: Database, appUrl: string | null): Promise<void> {
  // A command's shell may not know the address, so a command never takes the store for a copy. A guessed address holds the
  // port, which some platforms change at each start, so the agent then passes an empty one.
  const home =
    appUrl === null
      ? null
      : createHash('sha256')
          .update(`${appUrl} ${await db.identity()}`)
          .digest('base64url')
  // Of instances that start together, only the first sets the namespace.
  await db.query(
    `update installation set cache_id = $1, home = coalesce($2, home),
      copied_at = case when home is not null and home is distinct from coalesce($2, home) then ${db.dialect.now} else copied_at end
    where id = 1 and (cache_id is null or home is distinct from coalesce($2, home))`,
    [randomBytes(16).toString('base64url'), home],
  )
}
