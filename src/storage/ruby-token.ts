import { AppError } from '../core/errors.ts'
import type { Queryable } from './database.ts'

const NOT_THERE = 'Set DATABASE_URL to the address of the old app’s database (on Heroku: heroku config:get DATABASE_URL).'

// Its ActiveRecord wrote UTC into columns without a zone, which the driver would take for this machine's own time.
const AS_INSTANT: Readonly<Record<string, string>> = {
  'timestamp without time zone': "expires_at at time zone 'UTC'",
  'timestamp with time zone': 'expires_at',
}

/** Reads the one row of the Ruby agent's table, and changes nothing. */
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
  // After a failed refresh it wrote its STARTING_TOKEN and the time of day: nothing is known of that one's life.
  // And an instant that no calendar here has, such as infinity, says nothing either.
  const known = `case when to_jsonb(tokens) ->> 'success' = 'false' or not isfinite(expires_at)
    or extract(year from expires_at) not between 1970 and 9999 then null else ${expiresAt} end`
  // It kept one row; where others were added, the one that lives longest is the last that the provider gave.
  const [row] = await db.query<{ token: string; expires_at: Date | null }>(
    `select trim(value) as token, ${known} as expires_at from tokens where trim(value) <> '' order by 2 desc nulls last limit 1`,
  )
  if (row === undefined) throw new AppError('not_found', 'The table “tokens” holds no token: the old app never stored one.')
  return { token: row.token, expiresAt: row.expires_at }
}
