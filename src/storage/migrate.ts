import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../core/errors.ts'
import type { Database } from './database.ts'

type Kind = 'expand' | 'contract'

interface Migration {
  readonly number: number
  readonly name: string
  readonly kind: Kind
  readonly sql: string
}

const APPLIED = 'select number, name, kind from schema_migrations'

interface Applied {
  readonly number: number
  readonly name: string
  readonly kind: Kind
}

/**
 * Applies the pending migrations in `folder` and returns their names. An up-to-date store is only read, so its user does
 * not need the right to create tables.
 */
export async function migrate(db: Database, folder: string, onWait?: () => void): Promise<string[]> {
  const migrations = await readMigrations(folder)
  const isPrepared = !(await db.tables(['schema_migrations'])).includes('none')
  if (isPrepared && pendingOf(migrations, await db.query<Applied>(APPLIED)).length === 0) return []
  return db.exclusively(async (tx) => {
    if (!isPrepared)
      await tx.query(
        'create table if not exists schema_migrations (number integer primary key, name text not null, kind text not null, applied_at timestamptz not null)',
      )
    const pending = pendingOf(migrations, await tx.query<Applied>(APPLIED))
    for (const { number, name, kind, sql } of pending) {
      await tx.script(forEngine(sql, db.dialect.engine))
      await tx.query(`insert into schema_migrations (number, name, kind, applied_at) values ($1, $2, $3, ${db.dialect.now})`, [
        number,
        name,
        kind,
      ])
    }
    return pending.map(({ name }) => name)
  }, onWait)
}

function pendingOf(migrations: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const known = new Set(migrations.map(({ number }) => number))
  // An `expand` of a newer release removes nothing that this release uses; see migrations/README.md.
  const newer = applied.filter(({ number, kind }) => !known.has(number) && kind !== 'expand')
  if (newer.length > 0) throw new AppError('conflict', tooNew(newer.map(({ name }) => name)))
  const done = new Set(applied.map(({ number }) => number))
  return migrations.filter(({ number }) => !done.has(number))
}

/** The tables that the migrations in `folder` create. */
export async function tablesOf(folder: string): Promise<string[]> {
  const migrations = await readMigrations(folder)
  return migrations.flatMap(({ sql }) => [...sql.matchAll(/^create table (\w+)/gm)].map((match) => match[1] ?? ''))
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort()
  return Promise.all(
    files.map(async (file, index) => {
      const sql = await readFile(join(folder, file), 'utf8')
      const number = Number(/^(\d{3})-/.exec(file)?.[1])
      const kind = /^-- (expand|contract)\n/.exec(sql)?.[1]
      if (number !== index + 1) throw new Error(`${file}: migrations are numbered 001, 002, … without a gap.`)
      if (kind !== 'expand' && kind !== 'contract') throw new Error(`${file}: the first line must be “-- expand” or “-- contract”.`)
      return { number, name: file.slice(0, -'.sql'.length), kind, sql }
    }),
  )
}

/** Drops the lines that end with `-- <engine> alone` for the other engine. */
function forEngine(sql: string, engine: string): string {
  const lines = sql.split('\n')
  return lines.filter((line) => (/ -- (\w+) alone$/.exec(line)?.[1] ?? engine) === engine).join('\n')
}

function tooNew(names: string[]): string {
  return `The store belongs to a newer release of token-agent (it has ${names.join(', ')}): deploy that release again, or restore a backup made before it.`
}
