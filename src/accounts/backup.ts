import { createHash } from 'node:crypto'
import { type Account, hasGrant } from '../core/account.ts'
import { accountPages } from '../core/account-pages.ts'
import type { AccountEvent, AccountStore } from '../core/account-store.ts'
import { AppError } from '../core/errors.ts'
import { accountContext, tryOpen, type Vault } from '../core/vault.ts'
import { ERASED } from './deauthorize.ts'
import { type Erasures, verdict } from './erasure.ts'

// The format stands in docs/backup.md: one JSON object a line, a header first, a code over all of it last.

const FORMAT = 'token-agent backup'
const VERSION = 1
const USE = 'backup'

export type Row = Readonly<Record<string, string | number | null>>

export interface BackupRow {
  readonly table: string
  readonly row: Row
}

interface Header {
  readonly format: string
  readonly version: number
  readonly madeAt: string
  /** The newest key's id. */
  readonly key: string
  readonly migrations: readonly string[]
}

/** What one transaction of a restore offers after the rows are back. */
export interface RestoreScope {
  readonly store: AccountStore
  /** When this store's own history says that an account's data was erased. */
  readonly erasedAt: ReadonlyMap<string, Date>
}

/** The copied tables are a closed list, so that a new table stays out of a backup by itself. */
export interface BackupStore {
  /** All rows as they are at one instant; writers do not wait. */
  copy(begin: (madeAt: Date, migrations: readonly string[]) => Promise<void>, take: (row: BackupRow) => Promise<void>): Promise<void>
  migrations(): Promise<readonly string[]>
  /** All or nothing: puts the rows in the place of what is there, unconfirmed, and runs `settle` in the same transaction. */
  restore(rows: AsyncIterable<BackupRow>, replace: boolean, settle: (scope: RestoreScope) => Promise<void>): Promise<void>
}

interface Deps {
  readonly backups: BackupStore
  readonly vault: Vault
}

/** How many rows of each table. */
export type Counts = Readonly<Record<string, number>>

/** Writes a backup, line by line. Sealed tokens stay sealed. */
export async function writeBackup({ backups, vault }: Deps, write: (line: string) => Promise<void>): Promise<Counts> {
  const hash = createHash('sha256')
  const counts: Record<string, number> = {}
  const put = async (value: object): Promise<void> => {
    // Readers of lines also end one at these two characters.
    const line = JSON.stringify(value).replace(/[\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`)
    hash.update(`${line}\n`)
    await write(`${line}\n`)
  }
  await backups.copy(
    async (madeAt, migrations) =>
      put({ format: FORMAT, version: VERSION, madeAt: madeAt.toISOString(), key: vault.keyIds[0] ?? '', migrations } satisfies Header),
    async (row) => {
      counts[row.table] = (counts[row.table] ?? 0) + 1
      await put(row)
    },
  )
  await write(`${JSON.stringify({ end: counts, code: vault.mac(USE, hash.digest('hex')) })}\n`)
  return counts
}

/** True for the first line of a backup. */
export function isHeader(line: string): boolean {
  return line.startsWith(`{"format":"${FORMAT}"`)
}

export interface Checked {
  readonly madeAt: Date
  readonly accounts: number
  /** Accounts whose tokens no key opens. */
  readonly unreadable: readonly string[]
}

/** Reads a whole backup and changes nothing. Throws `invalid` with what to do where it cannot be restored here. */
export async function checkBackup({ backups, vault }: Deps, lines: AsyncIterable<string>): Promise<Checked> {
  const known = new Set(await backups.migrations())
  const unreadable: string[] = []
  let [madeAt, accounts, opened]: [Date | null, number, number] = [null, 0, 0]
  const onHeader = (header: Header): void => {
    madeAt = new Date(header.madeAt)
    const newer = header.migrations.filter((name) => !known.has(name))
    if (newer.length > 0) throw invalid(`The backup is of a newer release (it has ${newer.join(', ')}): install that release first.`)
    if (!vault.keyIds.includes(header.key)) throw invalid(NO_KEY)
  }
  for await (const { table, row } of rowsOf(lines, vault, onHeader)) {
    if (table !== 'accounts') continue
    if (row['removed_at'] === null) accounts++
    const isOpen = opens(vault, row)
    if (isOpen === true) opened++
    if (isOpen === false) unreadable.push(String(row['name']))
  }
  if (unreadable.length > 0 && opened === 0) throw invalid(NO_KEY)
  return { madeAt: madeAt ?? new Date(Number.NaN), accounts, unreadable }
}

const NO_KEY =
  'No key here opens the tokens of this backup: they need the key of the agent that made it. Put it into ENCRYPTION_KEY, or into the key file beside the embedded store, and restore again.'

/** Restores a checked backup. */
export async function restoreBackup(
  { backups, vault }: Deps,
  lines: AsyncIterable<string>,
  { replace, erasures, madeAt }: { replace: boolean; erasures: Erasures; madeAt: Date },
): Promise<{ erased: string[]; removed: string[] }> {
  const done = { erased: [] as string[], removed: [] as string[] }
  await backups.restore(rowsOf(lines, vault), replace, async ({ store, erasedAt }) => {
    for await (const page of accountPages(store)) {
      for (const account of page) {
        const found = verdict(erasures, account, vault)
        if (found !== 'remove' && !hasGrant(account) && account.providerUserId === null) continue
        const isErased = account.connectedAt < (erasedAt.get(account.name) ?? account.connectedAt)
        if (found === 'remove') done.removed.push(await remove(store, account))
        else if (found === 'erase' || isErased) done.erased.push(await erase(store, account))
      }
    }
    await store.record(event(null, 'changed', `The backup of ${madeAt.toISOString()} was restored.`))
  })
  return done
}

async function remove(store: AccountStore, { name }: Account): Promise<string> {
  await store.remove(name, event(name, 'removed', 'It was removed after the backup that was restored.'))
  return name
}

async function erase(store: AccountStore, { name, version }: Account): Promise<string> {
  const lastError = 'The user had the account’s data erased after the backup that was restored: connect the account again.'
  await store.replace(name, version, { ...ERASED, lastError }, event(name, 'erased', lastError))
  return name
}

function event(account: string | null, kind: AccountEvent['kind'], detail: string): AccountEvent {
  return { account, kind, actor: 'cli', outcome: 'ok', detail }
}

/** The rows of a backup. Throws `invalid` where it is no backup, cut off or altered: only the key can write one. */
async function* rowsOf(lines: AsyncIterable<string>, vault: Vault, onHeader?: (header: Header) => void): AsyncGenerator<BackupRow> {
  const hash = createHash('sha256')
  let part: 'header' | 'rows' | 'end' = 'header'
  for await (const line of lines) {
    if (part === 'header' && !isHeader(line)) throw invalid('The file is no backup of token-agent.')
    const value = parse(line)
    if (part === 'header') {
      const header = value as unknown as Header
      if (header.version !== VERSION)
        throw invalid('The backup has another format than this release reads: install the release that made it.')
      onHeader?.(header)
      part = 'rows'
    } else if (part === 'end') throw invalid(DAMAGED)
    else if (typeof value['code'] === 'string') {
      if (!vault.hasMac(USE, hash.digest('hex'), value['code'])) throw invalid(DAMAGED)
      part = 'end'
      continue
    } else yield value as unknown as BackupRow
    hash.update(`${line}\n`)
  }
  if (part !== 'end') throw invalid(part === 'header' ? 'The file is empty.' : DAMAGED)
}

const DAMAGED = 'The backup is cut off or was altered since it was made: take another one.'

function parse(line: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(line)
  } catch {
    throw invalid(DAMAGED)
  }
}

/** Null where there is no token. */
function opens(vault: Vault, row: Row): boolean | null {
  const { name, provider, serves } = row
  const account = { name: String(name), provider: String(provider), serves: typeof serves === 'string' ? serves : null }
  const held = (['access_token', 'refresh_token'] as const).filter((column) => typeof row[column] === 'string')
  return held.length === 0 ? null : held.every((column) => tryOpen(vault, String(row[column]), accountContext(account, column)) !== null)
}

function invalid(sentence: string): AppError {
  return new AppError('invalid', `${sentence} Nothing was changed.`)
}
