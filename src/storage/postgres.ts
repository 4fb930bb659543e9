import type pg from 'pg'
import { AppError, NoAnswerInTime } from '../core/errors.ts'
import type { Database, Dialect, Param, Queryable } from './database.ts'
import { LAST_CHARACTER, toSql } from './database.ts'
import { readPostgresUrl } from './postgres-url.ts'
import { FallbackPool } from './tls-fallback.ts'

const CONNECT_TIMEOUT_MS = 2_000
// Only a limit on our side ends the wait for an unreachable server.
const QUERY_TIMEOUT_MS = 2_000
// Shorter than a query, so that the state is known when a query times out.
const CHECK_TIMEOUT_MS = 1_500
/** Longer than the minute between two ticks, so the connection stays open. */
const CHECK_IDLE_MS = 150_000
const MIGRATION_TIMEOUT_MS = 300_000
// An arbitrary number, the same in every release.
const MIGRATION_LOCK = 7_421_906

const dialect: Dialect = {
  engine: 'postgres',
  // Compares bytes, as the index does, independent of the database's collation.
  beginsWith: (text, param) => `(${text} ~>=~ cast(${param} as text) and ${text} ~<~ (cast(${param} as text) || '${LAST_CHARACTER}'))`,
  // Not clock_timestamp(): it changes within a statement, so no index can use it.
  now: 'statement_timestamp()',
  toSeconds: (instant) => `extract(epoch from ${instant})`,
  nowPlus: (seconds) => `statement_timestamp() + make_interval(secs => ${seconds})`,
  skipLocked: 'for update skip locked',
}

export interface PostgresOptions {
  /** The platform's servers have a self-signed certificate (Heroku), so TLS is not verified unless the URL says so. */
  readonly selfSignedPlatform?: boolean
  /** Longer than the two seconds of a server for a command that reads many rows. */
  readonly queryTimeoutMs?: number
  /** Called where an idle connection breaks. */
  readonly onConnectionLost?: (error: Error) => void
}

/** Connects at the first query, so that the agent can start before its database. */
export function openPostgres(
  url: string,
  { selfSignedPlatform = false, queryTimeoutMs = QUERY_TIMEOUT_MS, onConnectionLost }: PostgresOptions = {},
): Database {
  const settings = { ...readPostgresUrl(url, selfSignedPlatform), keepAlive: true, application_name: 'token-agent' }
  const pool = new FallbackPool({ ...settings, max: 5, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: queryTimeoutMs })
  // Checks have their own connection, because the others may be busy.
  const checkPool = new FallbackPool({
    ...settings,
    max: 1,
    connectionTimeoutMillis: CHECK_TIMEOUT_MS,
    query_timeout: CHECK_TIMEOUT_MS,
    idleTimeoutMillis: CHECK_IDLE_MS,
  })
  // The pool has already dropped the connection, but without a listener the event would end the process.
  pool.on('error', (error) => onConnectionLost?.(error))
  checkPool.on('error', ignore)

  async function tables(names: readonly string[]): Promise<string> {
    const client = await explained(connect(checkPool))
    try {
      const sql = `select coalesce(string_agg(coalesce(to_regclass(name)::oid::text, 'none'), ',' order by name), '') as ids from unnest($1::text[]) name`
      const { rows } = await explained(client.query<{ ids: string }>(sql, [names]))
      client.off('error', ignore)
      client.release()
      return rows[0]?.ids ?? ''
    } catch (error) {
      client.release(true)
      throw error
    }
  }

  /** Adds a listener: a connection that breaks between two statements would end the process. The next statement reports it. */
  function connect(from = pool): Promise<pg.PoolClient> {
    return new Promise((resolve, reject) => {
      // Not with pool.connect's promise: the server may close the connection in the packet that opens it, before the
      // promise's continuation runs.
      from.connect((error, client) => {
        if (client === undefined) return reject(error)
        client.on('error', ignore)
        resolve(client)
      })
    })
  }

  async function within<T>(begin: string, timeoutMs: number, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await explained(connect())
    try {
      await send(client, timeoutMs, begin)
      const result = await work(client)
      const { command } = await send(client, timeoutMs, 'commit')
      // Postgres answers ROLLBACK without an error where an earlier statement failed and its error was swallowed.
      if (command === 'ROLLBACK') throw new Error('The transaction was rolled back because a statement in it had failed.')
      client.off('error', ignore)
      client.release()
      return result
    } catch (error) {
      // Closing the connection also drops the lock and the unfinished transaction.
      client.release(true)
      throw error
    }
  }

  return {
    dialect,
    query: async (sql, params) => (await explained(pool.query(sql, params?.map(toSql)))).rows,
    // A process that is frozen during a transaction must not keep its rows locked.
    transaction: (work) =>
      within("begin; set local idle_in_transaction_session_timeout = '5s'", queryTimeoutMs, (client) =>
        work(queryable(client, queryTimeoutMs)),
      ),
    snapshot: (work) =>
      within(
        "begin isolation level repeatable read read only; set local idle_in_transaction_session_timeout = '60s'",
        queryTimeoutMs,
        (client) => work(queryable(client, queryTimeoutMs)),
      ),
    exclusively: (work, onWait) =>
      within("begin; set local idle_in_transaction_session_timeout = '60s'", MIGRATION_TIMEOUT_MS, async (client) => {
        // A lock of the transaction, not of the session: a bouncer may give each transaction another session.
        const attempt = await send(client, MIGRATION_TIMEOUT_MS, 'select pg_try_advisory_xact_lock($1) as is_free', [MIGRATION_LOCK])
        if (attempt.rows[0]?.is_free !== true) {
          onWait?.()
          await send(client, MIGRATION_TIMEOUT_MS, 'select pg_advisory_xact_lock($1)', [MIGRATION_LOCK])
        }
        return work({
          ...queryable(client, MIGRATION_TIMEOUT_MS),
          script: async (sql) => {
            await send(client, MIGRATION_TIMEOUT_MS, sql)
          },
        })
      }),
    async identity() {
      const { rows } = await explained(pool.query('select oid::text as oid from pg_database where datname = current_database()'))
      // The server's own id. A hosted server may hide it; the database's oid remains.
      const server = await pool.query('select system_identifier::text as id from pg_control_system()').catch(() => null)
      return `${server?.rows[0]?.id ?? ''} ${rows[0]?.oid}`
    },
    tables,
    close: async () => void (await Promise.all([pool.end(), checkPool.end()])),
  }
}

function queryable(client: pg.PoolClient, timeoutMs: number): Queryable {
  return { query: async (sql, params) => (await send(client, timeoutMs, sql, params)).rows }
}

function send(client: pg.PoolClient, timeoutMs: number, text: string, params?: readonly Param[]): Promise<pg.QueryResult> {
  // pg accepts query_timeout for each query, but its types lack it.
  const query: pg.QueryConfig & { query_timeout: number } = { text, query_timeout: timeoutMs }
  if (params) query.values = params.map(toSql)
  return explained(client.query(query))
}

async function explained<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw explainPostgres(error)
  }
}

function ignore(): void {}

const REFUSED_SIGN_IN = 'The database refuses the user or the password: check both in DATABASE_URL.'
const NO_ANSWER = 'The database does not answer: check that it runs and that DATABASE_URL names its host and port.'
const UNTRUSTED =
  'The database’s certificate is not trusted: give its authority’s file in DATABASE_URL (sslrootcert=…), or use sslmode=require.'

/** By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) or Node's error code. */
const SENTENCES: Record<string, string> = {
  '28P01': REFUSED_SIGN_IN,
  '28000': REFUSED_SIGN_IN,
  '3D000': 'The database that DATABASE_URL names does not exist on its server: create it, or correct the name.',
  '25006': 'The database is read-only at the moment: it may be a replica, or full. Point DATABASE_URL at the primary server.',
  '53100': 'The database’s disk is full: free some space.',
  '53300': 'The database has no connection left: close other clients, or raise its connection limit.',
  '42501': 'The database user may not do this: make it the owner of the database that DATABASE_URL names.',
  ENOTFOUND: 'The database’s host name is not known: check the host in DATABASE_URL.',
  EAI_AGAIN: 'The database’s host name cannot be looked up at the moment: check the network and the host in DATABASE_URL.',
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  ERR_TLS_CERT_ALTNAME_INVALID:
    'The database’s certificate is for another host: use the name it was made for in DATABASE_URL, or sslmode=verify-ca.',
  CERT_HAS_EXPIRED: 'The database’s certificate has expired: renew it on the server.',
}

/** Our own mistakes: class 22 is a wrong value, 23 a violated constraint, 42 wrong SQL. */
const OUR_MISTAKE = /^(?:22|23|42)[0-9A-Z]{3}$/

/** pg's time-outs for an answer and for a free connection of the pool. The database may be up. */
const TIMEOUTS = ['Query read timeout', 'timeout exceeded when trying to connect']

/** pg's errors without a code: `timeout expired` where pg's timer is faster than its pool's, and protocol errors. */
const LOST =
  /^(?:Connection terminated|timeout expired|Client has encountered|Client was closed|Cannot use a pool|Received unexpected|There was an error establishing an SSL)/

/** Turns the database's faults into `unavailable` with a sentence for the operator. Other errors stay. */
function explainPostgres(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof AppError) return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const sentence = SENTENCES[code]
  if (code === '28000' && error.message.includes('no encryption'))
    return unavailable('The database wants an encrypted connection: add ?sslmode=require to DATABASE_URL.', error)
  if (sentence !== undefined) return unavailable(sentence, error)
  if (OUR_MISTAKE.test(code)) return error
  if (TIMEOUTS.includes(error.message)) return new NoAnswerInTime(NO_ANSWER, { cause: error })
  if (error.message === 'The server does not support SSL connections')
    return unavailable('The database does not speak TLS: switch it on there, or write sslmode=disable in DATABASE_URL.', error)
  // Other errors with a code come from the server, a socket or TLS. pg's own errors about a lost connection have no code.
  return code !== '' || LOST.test(error.message) ? unavailable(NO_ANSWER, error) : error
}

function unavailable(sentence: string, cause: Error): AppError {
  return new AppError('unavailable', sentence, { cause })
}
