import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { selfSignedChain } from './certificates.ts'
import { freePort } from './free-port.ts'
import { type Launched, launch } from './process.ts'
import { type Account, accountFor } from './run-as.ts'
import { binary } from './services.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'
import { waitFor } from './wait-for.ts'

export interface Database {
  readonly name: string
  readonly url: string
  /** Runs one statement over a new connection. */
  query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>
}

export interface PostgresServer {
  /** The URL of the superuser and the database `postgres`. */
  readonly url: string
  readonly port: number
  readonly folder: string
  /** The certificate of the authority that signed the server's. */
  readonly caFile: string | null
  readonly pid: number
  query<Row extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>
  createDatabase(t: Teardown): Promise<Database>
  start(): Promise<void>
  stop(how?: 'fast' | 'immediate'): Promise<void>
  kill(): Promise<void>
  freeze(): void
  thaw(): void
}

export interface PostgresOptions {
  /** Lines of postgresql.conf. */
  settings?: Record<string, string | number>
  /** Puts the data on a disk of this size, which a test can fill. Needs root. */
  tmpfsMegabytes?: number
  /** Accepts only TLS, with a self-signed chain like Heroku's. */
  ssl?: boolean
}

/** A private server, for tests that stop, break or configure it. Other tests share one: see createDatabase. */
export async function startPostgres(t?: Teardown, options: PostgresOptions = {}): Promise<PostgresServer> {
  const account = accountFor('postgres')
  const folder = tempFolder(t, 'postgres')
  chownSync(folder, account.uid, account.gid)
  if (options.tmpfsMegabytes !== undefined) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${options.tmpfsMegabytes}m,uid=${account.uid},gid=${account.gid}`, 'tmpfs', folder])
    t?.teardown(() => execFileSync('umount', ['--lazy', folder]))
  }
  const data = join(folder, 'data')
  await initialise(data, account)
  const caFile = options.ssl === true ? await requireTls(folder, data, account) : null

  let port = await freePort()
  let server!: Launched
  const url = () => `postgres://postgres@127.0.0.1:${port}/postgres${caFile === null ? '' : '?sslmode=no-verify'}`
  const query: PostgresServer['query'] = (sql, values) => queryOnce(url(), sql, values)
  const start = async () => {
    // Tests need no durability.
    const settings = { fsync: 'off', unix_socket_directories: folder, listen_addresses: '127.0.0.1', port, ...options.settings }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    server = await launch(binary('postgres', ['postgres']), ['-D', data, ...flags], { ...account, cwd: folder, endWith: 'QUIT' })
    await waitFor('PostgreSQL to answer', async () => !server.running || (await query('select 1')))
    if (!server.running) throw new Error(`PostgreSQL did not start:\n${server.stderr()}`)
  }
  await start().catch(async (error: Error) => {
    // Another process may have taken the port since freePort().
    if (!error.message.includes('Address already in use')) throw error
    port = await freePort()
    await start()
  })
  if (t === undefined) server.unref()
  t?.teardown(() => server.end('SIGQUIT'))
  return {
    get url() {
      return url()
    },
    get port() {
      return port
    },
    folder,
    caFile,
    get pid() {
      return server.pid
    },
    query,
    createDatabase: (t) => createDatabaseOn(url(), t),
    start,
    async stop(how = 'fast') {
      await server.end(how === 'fast' ? 'SIGINT' : 'SIGQUIT')
    },
    async kill() {
      await server.end('SIGKILL')
    },
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
  }
}

export async function createDatabaseOn(serverUrl: string, t: Teardown): Promise<Database> {
  const name = `test_${randomBytes(6).toString('hex')}`
  await queryOnce(serverUrl, `create database ${name}`)
  // A stopped private server has no database to drop.
  t.teardown(() => queryOnce(serverUrl, `drop database if exists ${name} with (force)`).catch(() => {}))
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return { name, url: url.href, query: (sql, values) => queryOnce(url.href, sql, values) }
}

async function queryOnce<Row extends pg.QueryResultRow>(url: string, sql: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  // Killing the server must not end the test's process.
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(sql, values)).rows
  } finally {
    await client.end()
  }
}

async function initialise(data: string, account: Account): Promise<void> {
  const flags = ['--no-sync', '--auth=trust', '--username=postgres', '--encoding=UTF8', '--locale=C', '--no-instructions']
  const initdb = await launch(binary('postgres'), [...flags, '-D', data], { ...account, cwd: join(data, '..') })
  const { code } = await initdb.exited
  if (code !== 0) throw new Error(`initdb failed:\n${initdb.stdout()}${initdb.stderr()}`)
}

async function requireTls(folder: string, data: string, account: Account): Promise<string> {
  const certificates = join(folder, 'certificates')
  mkdirSync(certificates)
  const { caFile, chainFile, keyFile } = selfSignedChain(certificates, ['localhost'])
  copyFileSync(chainFile, join(data, 'server.crt'))
  copyFileSync(keyFile, join(data, 'server.key'))
  chmodSync(join(data, 'server.key'), 0o600)
  for (const name of ['server.crt', 'server.key']) chownSync(join(data, name), account.uid, account.gid)
  writeFileSync(join(data, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 trust\n')
  writeFileSync(join(data, 'postgresql.auto.conf'), 'ssl = on\n')
  return caFile
}
