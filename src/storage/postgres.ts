import type pg from 'pg'
import { AppError, NoAnswerInTime } from '../core/errors.ts'
import type { Database, Dialect, Param, Queryable } from './database.ts'
import { LAST_CHARACTER, toSql } from './database.ts'
import { readPostgresUrl } from './postgres-url.ts'
import { FallbackPool } from './tls-fallback.ts'

const CONNECT_TIMEOUT_MS = 2_000
// Only a limit on our side ends the wait for a server that no packet reaches any more.
const QUERY_TIMEOUT_MS = 2_000
// Less, so that it is known whether the database is there when another question gets no answer.
const CHECK_TIMEOUT_MS = 1_500
/** A tick a minute keeps it open. */
const CHECK_IDLE_MS = 150_000
const MIGRATION_TIMEOUT_MS = 300_000
// Any number will do, as long as every release uses the same.
const MIGRATION_LOCK = 7_421_906

const dialect: Dialect = {
  engine: 'postgres',
  // By bytes, as the index is, whatever the database's own order of letters.
  beginsWith: (text, param) => `(${text} ~>=~ cast(${param} as text) and ${text} ~<~ (cast(${param} as text) || '${LAST_CHARACTER}'))`,
  // Not clock_timestamp(): that one moves within a statement, and no index can be searched with it.
  now: 'statement_timestamp()',
  toSeconds: (instant) => `extract(epoch from ${instant})`,
  nowPlus: (seconds) => `statement_timestamp() + make_interval(secs => ${seconds})`,
  skipLocked: 'for update skip locked',
}

export interface PostgresOptions {
  /** The platform's servers have a self-signed certificate (Heroku): TLS without verification unless the URL says otherwise. */
  readonly selfSignedPlatform?: boolean
  /** Longer than the server's two seconds where an answer may take its time, and nothing waits for it. */
  readonly queryTimeoutMs?: number
  /** Called for a connection that breaks while it is idle. */
  readonly onConnectionLost?: (error: Error) => void
}

/** Connects when first asked, so that the agent can start before its database does. */
export function openPostgres(
  url: string,
  { selfSignedPlatform = false, queryTimeoutMs = QUERY_TIMEOUT_MS, onConnectionLost }: PostgresOptions = {},
): Database {
  const settings = { ...readPostgresUrl(url, selfSignedPlatform), keepAlive: true, application_name: 'token-agent' }
  const pool = new FallbackPool({ ...settings, max: 5, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: queryTimeoutMs })
  // However busy the others are: whether the database is there is asked on this one.
  const checkPool = new FallbackPool({
    ...settings,
    max: 1,
    connectionTimeoutMillis: CHECK_TIMEOUT_MS,
    query_timeout: CHECK_TIMEOUT_MS,
    idleTimeoutMillis: CHECK_IDLE_MS,
  })
  // The pool has dropped the connection already; without a listener the event would end the process.
  pool.on('error', (error) => onConnectionLost?.(error))
  checkPool.on('error', ignore)

  async function tables(names: readonly string[]): Promise<string> {
    const client = await explained(connect(checkPool))
    try {
      const sql = `select coalesce(string_agg(coalesce(to_regclass(name)::oid::text, 'none'), ',' order by name), '') as marks from unnest($1::text[]) name`
      const { rows } = await explained(client.query<{ marks: string }>(sql, [names]))
      client.off('error', ignore)
      client.release()
      return rows[0]?.marks ?? ''
    } catch (error) {
      client.release(true)
      throw error
    }
  }

  /** One that breaks before its first statement, or between two, would end the process too; the next statement reports it. */
  function connect(from = pool): Promise<pg.PoolClient> {
    return new Promise((resolve, reject) => {
      // Not by pool.connect's own promise: the server may end the connection in the same packet that opens it, and so
      // before whoever waits for the promise has its turn.
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
      // Postgres answers so, and with no error, where an earlier statement failed and its error was swallowed.
      if (command === 'ROLLBACK') throw new Error('The transaction was rolled back because a statement in it had failed.')
      client.off('error', ignore)
      client.release()
      return result
    } catch (error) {
      // Closing the connection, not returning it, also drops the lock and the half-done transaction.
      client.release(true)
      throw error
    }
  }

  return {
    dialect,
    query: async (sql, params) => (await explained(pool.query(sql, params?.map(toSql)))).rows,
    // A process that is frozen in mid-transaction must not keep its rows from all others until it wakes.
    transaction: (work) =>
      within("begin; set local idle_in_transaction_session_timeout = '5s'", queryTimeoutMs, (client) =>
        work(queryable(client, queryTimeoutMs)),
      ),
    exclusively: (work, onWait) =>
      within("begin; set local idle_in_transaction_session_timeout = '60s'", MIGRATION_TIMEOUT_MS, async (client) => {
        // Tied to the transaction, not to the session: a bouncer may give each transaction another session.
        const tried = await send(client, MIGRATION_TIMEOUT_MS, 'select pg_try_advisory_xact_lock($1) as is_free', [MIGRATION_LOCK])
        if (tried.rows[0]?.is_free !== true) {
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
      // The server's own number; a hosted one may keep it from its users, and then the database's has to do.
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
  // pg takes the limit with each query, but its type does not know.
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
const SILENT = 'The database does not answer: check that it runs and that DATABASE_URL names its host and port.'
const UNTRUSTED =
  'The database’s certificate is not trusted: give its authority’s file in DATABASE_URL (sslrootcert=…), or use sslmode=require.'

/** https://www.postgresql.org/docs/current/errcodes-appendix.html, and the codes of Node's sockets. */
const SENTENCES: Record<string, string> = {
  '28P01': REFUSED_SIGN_IN,
  '28000': REFUSED_SIGN_IN,
  '3D000': 'The database that DATABASE_URL names does not exist on its server: create it, or correct the name.',
  '25006': 'The database is read-only at the moment: it may be a replica, or full. Point DATABASE_URL at the primary server.',
  '53100': 'The database’s disk is full: make room on it.',
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

/** 22 wrong value, 23 violated constraint, 42 wrong SQL: a mistake of ours, not a fault of the database. */
const OUR_MISTAKE = /^(?:22|23|42)[0-9A-Z]{3}$/

/** pg waited for an answer, or its pool for a connection of ours that was free: the database may be there all the same. */
const IN_VAIN = ['Query read timeout', 'timeout exceeded when trying to connect']

/** Also `timeout expired`, where pg's own timer is faster than its pool's, and what it says of an answer that is out of step. */
const LOST =
  /^(?:Connection terminated|timeout expired|Client has encountered|Client was closed|Cannot use a pool|Received unexpected|There was an error establishing an SSL)/

/** Whatever keeps the database from answering becomes `unavailable`, with a sentence for the operator; the rest stays as it is. */
function explainPostgres(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof AppError) return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const sentence = SENTENCES[code]
  if (code === '28000' && error.message.includes('no encryption'))
    return unavailable('The database wants an encrypted connection: add ?sslmode=require to DATABASE_URL.', error)
  if (sentence !== undefined) return unavailable(sentence, error)
  if (OUR_MISTAKE.test(code)) return error
  if (IN_VAIN.includes(error.message)) return new NoAnswerInTime(SILENT, { cause: error })
  if (error.message === 'The server does not support SSL connections')
    return unavailable('The database does not speak TLS: switch it on there, or write sslmode=disable in DATABASE_URL.', error)
  // What is left with a code comes from the server, a socket or TLS; pg's own errors about a lost or slow connection have none.
  return code !== '' || LOST.test(error.message) ? unavailable(SILENT, error) : error
}

function unavailable(sentence: string, cause: Error): AppError {
  return new AppError('unavailable', sentence, { cause })
}
