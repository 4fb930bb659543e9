import { DEFAULT_ACCOUNT, isServable } from '../core/account.ts'
import { AppError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import type { SeedDeps, SeedResult } from './given-token.ts'
import { seedAccount } from './seed.ts'

/** The only provider of the Ruby agent. */
const PROVIDER = 'instagram'

/** A row of the Ruby agent's table `tokens` in Postgres, in plain text. */
interface RubyToken {
  readonly token: string
  readonly expiresAt: Date | null
}

/** Throws an AppError that names the difference if the table does not look as expected. */
export type ReadRubyToken = () => Promise<RubyToken>

export interface Import {
  readonly read: ReadRubyToken
  /** Also replaces a working token, and imports one that has expired by the old app's records. */
  readonly force: boolean
  readonly fingerprint: string | null
}

/** Imports the Ruby agent's token into the account `default`. */
export async function importRubyToken(
  deps: SeedDeps,
  { read, force, fingerprint }: Import,
): Promise<{ found: RubyToken; seed: SeedResult }> {
  const found = await read()
  const now = deps.store.now()
  if (!force && found.expiresAt !== null && found.expiresAt <= now) {
    const on = found.expiresAt.toISOString().slice(0, 10)
    throw new AppError(
      'conflict',
      `The old app’s token expired on ${on}, so it was not taken. Get a new one: /setup says how. (--force tries it all the same.)`,
    )
  }
  const existing = await deps.store.find(DEFAULT_ACCOUNT)
  if (!force && existing !== null && isServable({ ...existing, pausedAt: null }, now)) {
    throw new AppError(
      'conflict',
      `The account “${DEFAULT_ACCOUNT}” has a token that works, so nothing was changed. --force puts the old app’s in its place, once ${deps.providers.get(PROVIDER)?.title} has confirmed it.`,
    )
  }
  const { token, expiresAt } = found
  const seed = { account: DEFAULT_ACCOUNT, provider: PROVIDER, token: new Secret(token), actor: 'cli', fingerprint, expiresAt } as const
  return { found, seed: await seedAccount(deps, seed) }
}
