import { AppError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'
import { readersAfter, type SeedDeps, type SeedResult, seedAccount } from './seed.ts'

/** A token in the configuration. */
export interface ConfiguredSeed {
  readonly variable: string
  readonly account: string
  readonly provider: string
  readonly token: Secret
  /** Hash of the token: a changed token is seeded at the next start. */
  readonly fingerprint: string
}

/** Seeds a configured token if it differs from the last one; null = nothing to do. */
export async function seedConfigured(deps: SeedDeps, { variable, ...seed }: ConfiguredSeed): Promise<SeedResult | null> {
  if ((await deps.store.seedFingerprint(seed.account)) === seed.fingerprint) return null
  return seedAccount(deps, { ...seed, variable, actor: 'boot' })
}

/** Seeds a configured token at a start; false = the provider did not answer, so try again later. */
export async function seedAtStart(deps: SeedDeps, seed: ConfiguredSeed): Promise<boolean> {
  const { variable } = seed
  try {
    const taken = await seedConfigured(deps, seed)
    if (taken === null) return true
    const readers = await readersAfter(deps, seed.account)
    if (taken.outcome === 'taken' && readers !== '') deps.log.info({ account: seed.account }, `${variable} is stored.${readers}`)
    if (taken.outcome === 'taken' && deps.providers.get(seed.provider)?.renewal === 'rotating')
      deps.log.warn({ account: seed.account }, `${variable} has been used, and works only once: remove the variable`)
    if (taken.outcome !== 'taken') deps.log.warn({ outcome: taken.outcome }, `${variable} has not taken over: ${taken.message}`)
    return taken.outcome !== 'postponed'
  } catch (error) {
    // Another instance, started with the same token, was faster.
    if (error instanceof AppError && error.code === 'conflict') return true
    if (!(error instanceof AppError && error.code === 'invalid')) throw error
    // The value is no token. The account goes on with the token it has, as after a refusal.
    deps.log.warn({ outcome: 'refused' }, `${variable} has not taken over: ${error.message}`)
    return true
  }
}
