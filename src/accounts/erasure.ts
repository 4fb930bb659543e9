import type { Account } from '../core/account.ts'
import { AppError } from '../core/errors.ts'
import type { Vault } from '../core/vault.ts'

// A backup is older than some erasures and removals. Each is a line of the log, and a restore reads that log.

const USE = 'erased user'

/** The fields of a log line. A user stands in it as a code under the newest key: without the key it tells nothing about a user. */
export interface ErasureRecord {
  readonly erasedUser?: string
  readonly removedAccount?: string
  readonly removedUser?: string | null
  /** Only what was connected before is concerned. */
  readonly connectedBefore: string
}

/** For a user whose data a provider's call erases; also where no account holds any today, because a backup may. */
export function erasureOf(vault: Vault, user: { provider: string; userId: string }, before: Date): ErasureRecord {
  return { erasedUser: codesOf(vault, user.provider, user.userId)[0] ?? '', connectedBefore: before.toISOString() }
}

export function removalOf(vault: Vault, { name, provider, providerUserId }: Account, before: Date): ErasureRecord {
  const removedUser = providerUserId === null ? null : (codesOf(vault, provider, providerUserId)[0] ?? null)
  return { removedAccount: name, removedUser, connectedBefore: before.toISOString() }
}

const codesOf = (vault: Vault, provider: string, userId: string): readonly string[] => vault.macs(USE, `${provider}\0${userId}`)

export interface Erasures {
  readonly users: ReadonlyMap<string, Date>
  readonly accounts: ReadonlyMap<string, Date>
}

export const NO_ERASURES: Erasures = { users: new Map(), accounts: new Map() }

/** Reads a log, or the lines of it that concern erasures; other lines are skipped. Throws `invalid` where a line cannot be used. */
export async function readErasures(lines: AsyncIterable<string>, vault: Vault): Promise<Erasures> {
  const [users, accounts] = [new Map<string, Date>(), new Map<string, Date>()]
  let [at, hasText] = [0, false]
  const note = (map: Map<string, Date>, key: string, before: Date): void => {
    const known = map.get(key)
    if (known === undefined || known < before) map.set(key, before)
  }
  for await (const line of lines) {
    at++
    hasText ||= line.trim() !== ''
    if (!/"(?:erasedUser|removedAccount)":/.test(line)) continue
    const { erasedUser, removedAccount, connectedBefore } = recordIn(line, at)
    const before = new Date(connectedBefore ?? '')
    if (Number.isNaN(before.getTime()) || (erasedUser === undefined) === (removedAccount === undefined)) throw unusable(at)
    if (removedAccount !== undefined) note(accounts, removedAccount, before)
    if (erasedUser === undefined) continue
    const key = erasedUser.split('.', 1)[0] ?? ''
    if (!vault.keyIds.includes(key))
      throw new AppError(
        'invalid',
        `Line ${at} of the list of erasures needs an older key: put it into ENCRYPTION_KEY after the newest one, separated by a comma. Nothing was changed.`,
      )
    note(users, erasedUser, before)
  }
  if (hasText && users.size + accounts.size === 0)
    throw new AppError(
      'invalid',
      'The list names no erasure and no removal. Give the agent’s log since the backup; an empty file says that there were none. Nothing was changed.',
    )
  return { users, accounts }
}

/** Platforms write something of their own before each line of a log. */
function recordIn(line: string, at: number): Partial<ErasureRecord> {
  try {
    return JSON.parse(line.slice(line.indexOf('{')))
  } catch {
    throw unusable(at)
  }
}

function unusable(at: number): AppError {
  return new AppError(
    'invalid',
    `Line ${at} of the list of erasures is cut off or altered: give the log as the agent wrote it. Nothing was changed.`,
  )
}

/** What the list says about an account of a backup; null = it stays. */
export function verdict({ users, accounts }: Erasures, account: Account, vault: Vault): 'erase' | 'remove' | null {
  const { name, provider, providerUserId, providerAppUserId, connectedAt } = account
  const isBefore = (until: Date | undefined): boolean => until !== undefined && connectedAt < until
  if (isBefore(accounts.get(name))) return 'remove'
  const ids = [providerUserId, providerAppUserId].filter((id) => id !== null)
  return ids.some((id) => codesOf(vault, provider, id).some((code) => isBefore(users.get(code)))) ? 'erase' : null
}
