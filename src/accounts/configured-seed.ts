import { createHash } from 'node:crypto'
import { AppError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'
import type { SeedDeps, SeedResult } from './given-token.ts'
import { readersAfter, seedAccount } from './seed.ts'

/** A token in the configuration. */
export interface ConfiguredSeed {
  readonly variable: string
  readonly account: string
  readonly provider: string
  readonly token: Secret
  /** Hash of the token: a changed token is seeded at the next start. */
  readonly fingerprint: string
}

export function withFingerprint<Seed extends Pick<ConfiguredSeed, 'token'>>(seed: Seed): Seed & Pick<ConfiguredSeed, 'fingerprint'> {
  return { ...seed, fingerprint: createHash('sha256').update(`seed\0${seed.token.reveal()}`).digest('hex').slice(0, 32) }
}

/** Seeds a configured token if it differs from the last one; null = nothing to do. */
export async function seedConfigured(deps: SeedDeps, { variable, ...seed }: ConfiguredSeed): Promise<SeedResult | null> {
  if ((await deps.store.seedFingerprint(seed.account)) === seed.fingerprint) return null
  return seedAccount(deps, { ...seed, variable, actor: 'boot' })
}

const INSTEAD = 'Remove the variable, and connect the account in the browser or add a Postgres database.'

export interface ConfiguredSeeds {
  /** What a start does. Each runs alone; false = one of them is tried again later. */
  run(): Promise<boolean>
  /** The last run; null before the first. */
  running(): Promise<boolean> | null
  /** Why a configured token is not in use, and what to do: a sentence for each. */
  notes(): Promise<string[]>
}

interface SeedingOptions {
  /** What must succeed first. */
  readonly before: () => Promise<unknown>
  /** The store may be empty again at the next start, which would then send the same tokens. */
  readonly mayForget: boolean
}

export function createConfiguredSeeds(
  deps: SeedDeps,
  seeds: readonly ConfiguredSeed[],
  { before, mayForget }: SeedingOptions,
): ConfiguredSeeds {
  const { store, log, providers } = deps
  let running: Promise<boolean> | null = null
  /** By variable: why it has not taken over. */
  const left = new Map<string, string>()

  function leave({ variable, account }: ConfiguredSeed, outcome: 'postponed' | 'refused', why: string): boolean {
    const sentence = `${variable} has not taken over: ${why}`
    left.set(variable, sentence)
    log.warn({ outcome, account }, sentence)
    return outcome === 'refused'
  }

  async function start(seed: ConfiguredSeed): Promise<boolean> {
    const { variable, account } = seed
    const isRotating = providers.get(seed.provider)?.renewal === 'rotating'
    try {
      if (isRotating && mayForget && (await store.seedFingerprint(account)) !== seed.fingerprint)
        return leave(seed, 'refused', `the token works once, and this platform may wipe the store's disk. ${INSTEAD}`)
      const taken = await seedConfigured(deps, seed)
      if (taken === null) return true
      if (taken.outcome !== 'taken') return leave(seed, taken.outcome, taken.message)
      left.delete(variable)
      const readers = await readersAfter(deps, account)
      if (readers !== '' && taken.result?.outcome !== 'failed') log.info({ account }, `${variable} is stored.${readers}`)
      if (isRotating) log.warn({ account }, `${variable} has been used, and works only once: remove the variable`)
      return true
    } catch (err) {
      // Another instance, started with the same token, was faster.
      if (err instanceof AppError && err.code === 'conflict') return true
      // The value is no token, or the account is another provider's. The account goes on with the token it has.
      if (err instanceof AppError && err.code === 'invalid') return leave(seed, 'refused', err.message)
      log.warn({ account, err }, `${variable} could not be stored; the next try is in a minute`)
      return false
    }
  }
  async function noteOn(seed: ConfiguredSeed): Promise<string | undefined> {
    const { variable, account, fingerprint } = seed
    if (left.has(variable) || (await store.seedFingerprint(account)) !== fingerprint) return left.get(variable)
    if ((await store.find(account)) !== null) return undefined
    return `${variable}: its account “${account}” was removed, so the token is not taken again. Remove the variable, or create the account and paste a token.`
  }

  return {
    running: () => running,
    run() {
      running = before().then(async () => (await Promise.all(seeds.map(start))).every(Boolean))
      return running
    },
    notes: async () => (await Promise.all(seeds.map(noteOn))).filter((note) => note !== undefined),
  }
}
