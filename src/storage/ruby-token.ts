import { AppError } from '../core/errors.ts'
import type { Queryable } from './database.ts'

const NOT_THERE = 'Set DATABASE_URL to the address of the old app’s database (on Heroku: heroku config:get DATABASE_URL).'

// ActiveRecord wrote UTC into columns without a zone. The driver would read them as local time.
const AS_INSTANT: Readonly<Record<string, string>> = {
  'timestamp without time zone': "expires_at at time zone 'UTC'",
  'timestamp with time zone': 'expires_at',
}

/** Reads the token of the Ruby agent's table. Changes nothing. Throws an AppError where there is no such table or token. */
export async function readRubyToken(db: Queryable): Promise<{ token: string; expiresAt: Date | null }> {
  const columns = await db.query<{ name: string; type: string }>(
    `select attname as name, format_type(atttypid, null) as type from pg_attribute
      where attrelid = to_regclass('tokens') and attnum > 0 and not attisdropped`,
  )
  if (columns.length === 0) throw new AppError('not_found', `There is no table “tokens” in this database. ${NOT_THERE}`)
  const typeOf = (name: string): string => columns.find((column) => column.name === name)?.type ?? ''
  const expiresAt = AS_INSTANT[typeOf('expires_at')]
  if (!/^(character varying|text)$/.test(typeOf('value')) || expiresAt === undefined) {
    throw new AppError(
      'invalid',
      `The table “tokens” here is not the Ruby agent’s: it has no text “value” and time “expires_at”. ${NOT_THERE}`,
    )
  }
  // After a failed refresh the Ruby agent wrote STARTING_TOKEN and the current time, so the token's life is unknown. A date
  // such as infinity is unknown too.
  const known = `case when to_jsonb(tokens) ->> 'success' = 'false' or not isfinite(expires_at)
    or extract(year from expires_at) not between 1970 and 9999 then null else ${expiresAt} end`
  // The Ruby agent kept one row. Of several, the one that expires last is the newest.
  const [row] = await db.query<{ token: string; expires_at: Date | null }>(
    `select trim(value) as token, ${known} as expires_at from tokens where trim(value) <> '' order by 2 desc nulls last limit 1`,
  )
  if (row === undefined) throw new AppError('not_found', 'The table “tokens” holds no token: the old app never stored one.')
  return { token: row.token, expiresAt: row.expires_at }
}
