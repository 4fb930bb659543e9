import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { AppError } from '../../src/core/errors.ts'
import type { Database } from '../../src/storage/database.ts'
import { openPostgres, type PostgresOptions } from '../../src/storage/postgres.ts'
import { readPostgresUrl } from '../../src/storage/postgres-url.ts'
import { freePort } from '../support/free-port.ts'
import { startPostgres } from '../support/postgres.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitFor } from '../support/wait-for.ts'

function open(t: Test, url: string, options?: PostgresOptions): Database {
  const db = openPostgres(url, options)
  t.teardown(() => db.close().catch(() => {}))
  return db
}

async function backend(db: { query: Database['query'] }): Promise<number> {
  const [row] = await db.query<{ pid: number }>('select pg_backend_pid() as pid')
  return row?.pid ?? 0
}

async function unavailable(t: Test, asking: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await asking.then(
    () => t.fail('expected an error'),
    (error) => error,
  )
  t.type(error, AppError)
  t.match(error, { code: 'unavailable', message })
}

t.test('real Postgres', { skip: missing('postgres') }, async (t) => {
  // They wait for the limits of a call, each with a database of its own.
  t.jobs = 4

  t.test('survives pg_terminate_backend of an idle connection', async (t) => {
    const { url, query } = await createDatabase(t)
    const lost: Error[] = []
    const db = open(t, url, { onConnectionLost: (error) => lost.push(error) })
    const pid = await backend(db)
    await query('select pg_terminate_backend($1)', [pid])
    await waitFor('the loss to be reported', () => lost.length > 0)
    t.not(await backend(db), pid, 'the next query works, on a new connection')
  })

  t.test('survives it during a query and between two statements of a transaction', async (t) => {
    const { url, query } = await createDatabase(t)
    const db = open(t, url)
    await db.query('create table one (a integer)')
    const sleeping = db.query('select pg_sleep(60)')
    await waitFor('the query', () =>
      query("select 1 where exists (select from pg_stat_activity where query = 'select pg_sleep(60)')").then((rows) => rows.length > 0),
    )
    await Promise.all([
      unavailable(t, sleeping, /does not answer/),
      query("select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(60)'"),
    ])
    await unavailable(
      t,
      db.transaction(async (tx) => {
        await tx.query('insert into one values (1)')
        const pid = await backend(tx)
        await query('select pg_terminate_backend($1)', [pid])
        await waitFor('its end', () => query('select from pg_stat_activity where pid = $1', [pid]).then((rows) => rows.length === 0))
        await tx.query('insert into one values (2)')
      }),
      /does not answer/,
    )
    t.strictSame(await db.query('select a from one'), [])
  })

  t.test('never reuses a connection after an error', async (t) => {
    const { url } = await createDatabase(t)
    const db = open(t, url)
    const pid = await backend(db)
    await t.rejects(
      db.transaction(async (tx) => {
        t.equal(await backend(tx), pid)
        throw new Error('changed my mind')
      }),
      /changed my mind/,
    )
    const next = await backend(db)
    t.not(next, pid)
    await unavailable(t, db.query('select pg_sleep(10)'), /does not answer/)
    t.not(await backend(db), next)
  })

  t.test('reports a transaction that Postgres rolled back after a swallowed error', async (t) => {
    const { url } = await createDatabase(t)
    const db = open(t, url)
    await db.query('create table one (a integer primary key)')
    await t.rejects(
      db.transaction(async (tx) => {
        await tx.query('insert into one values (1)')
        await tx.query('insert into one values (1)').catch(() => {})
      }),
      /rolled back/,
    )
    t.strictSame(await db.query('select a from one'), [])
  })

  t.test('leaves no listeners on a connection after many transactions', async (t) => {
    const { url } = await createDatabase(t)
    const warnings: Error[] = []
    const note = (warning: Error) => warnings.push(warning)
    process.on('warning', note)
    t.teardown(() => process.off('warning', note))
    const db = open(t, url)
    for (let i = 0; i < 30; i++) await db.transaction((tx) => backend(tx))
    t.strictSame(warnings, [])
  })

  t.test('frees the rows of a process that is frozen during a transaction', async (t) => {
    const { url } = await createDatabase(t)
    const [frozen, other] = [open(t, url), open(t, url)]
    await other.query('create table one (a integer)')
    await other.query('insert into one values (1)')
    const holding = Promise.withResolvers<void>()
    const thawed = Promise.withResolvers<void>()
    const stale = frozen.transaction(async (tx) => {
      await tx.query('update one set a = 2')
      holding.resolve()
      await thawed.promise
      await tx.query('update one set a = 3')
    })
    await holding.promise
    const free = () => other.query<{ a: number }>('select a from one for update skip locked')
    t.strictSame(await free(), [], 'held')
    t.strictSame(await waitFor('the row to be free', async () => ((await free()).length > 0 ? free() : false)), [{ a: 1 }])
    thawed.resolve()
    await unavailable(t, stale, /does not answer/)
    t.strictSame(await free(), [{ a: 1 }], 'the late transaction changes nothing')
  })

  t.test('recovers from a black hole in the network and from a killed server', async (t) => {
    const server = await startPostgres(t)
    const proxy = await startTcpProxy(t, { port: server.port })
    const db = open(t, proxy.through(server.url))
    await Promise.all([backend(db), backend(db), backend(db)])
    proxy.blackHole()
    await Promise.all(Array.from({ length: 8 }, () => unavailable(t, backend(db), /does not answer/)))
    proxy.pass()
    t.ok(await backend(db), 'at once')

    await server.kill()
    await unavailable(t, backend(db), /does not answer/)
    await server.start()
    t.ok(await backend(open(t, server.url)))
    t.ok(await backend(db), 'at once')
    await server.stop('immediate')
    await unavailable(t, backend(db), /does not answer/)
  })

  t.test('each fault has a sentence with a remedy for the operator', async (t) => {
    const { url, query, name } = await createDatabase(t)
    const altered = (change: (url: URL) => void) => {
      const other = new URL(url)
      other.username = 'postgres'
      other.password = 'hunter2'
      change(other)
      return other.href
    }
    const says = async (address: string, message: RegExp) => {
      const error = await backend(open(t, address)).catch((error) => error)
      t.match(error, { code: 'unavailable', message })
      t.notMatch(inspect(error, { depth: 9, showHidden: true }), /hunter2/)
    }
    const port = await freePort()
    await says(
      altered((url) => (url.port = String(port))),
      /does not answer: check that it runs and that DATABASE_URL/,
    )
    await says(
      altered((url) => (url.hostname = 'nowhere.invalid')),
      /host name .* check .*the host in DATABASE_URL/,
    )
    await says(
      altered((url) => (url.pathname = '/missing')),
      /names does not exist on its server: create it/,
    )
    await says(
      altered((url) => (url.username = 'nobody_here')),
      /refuses the user or the password/,
    )
    await says(
      altered((url) => url.searchParams.set('sslmode', 'require')),
      /does not speak TLS: .* sslmode=disable/,
    )

    const db = open(t, url)
    await db.query('create table one (a integer)')
    await query(`alter database ${name} set default_transaction_read_only = on`)
    await unavailable(t, open(t, url).query('insert into one values (1)'), /read-only/)
    await t.rejects(db.query('select nothing from nowhere'), { code: '42P01' }, 'our own mistake stays an SQL error')
  })

  t.test('sslmode works as in libpq, without a warning', { skip: missing('openssl') }, async (t) => {
    const warnings: Error[] = []
    const note = (warning: Error) => warnings.push(warning)
    process.on('warning', note)
    t.teardown(() => process.off('warning', note))
    const server = await startPostgres(t, { ssl: true, settings: { listen_addresses: '127.0.0.1,127.0.0.2' } })
    const ca = `&sslrootcert=${encodeURIComponent(server.caFile ?? '')}`
    const at = (host: string, query: string) => `postgres://postgres@${host}:${server.port}/postgres${query}`
    const encrypted = async (url: string, options?: PostgresOptions) => {
      const rows = await open(t, url, options).query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')
      t.strictSame(rows, [{ ssl: true }], url.replace(/sslrootcert=.*/, 'sslrootcert=…'))
    }
    const refused = (url: string, message: RegExp) => unavailable(t, backend(open(t, url)), message)

    await encrypted(at('localhost', '?sslmode=require'))
    await encrypted(at('localhost', '?sslmode=prefer'))
    await encrypted(at('localhost', '?sslmode=allow'))
    await encrypted(at('localhost', '?sslmode=no-verify&application_name=x'))
    await encrypted(at('localhost', ''), { selfSignedPlatform: true })
    await encrypted(at('localhost', `?sslmode=verify-full${ca}`))
    await encrypted(at('127.0.0.1', `?sslmode=verify-full${ca}`))
    await encrypted(at('localhost', `?${ca}`))
    await encrypted(at('127.0.0.2', `?sslmode=verify-ca${ca}`))
    await encrypted(at('127.0.0.2', `?sslmode=require${ca}`))

    await refused(at('localhost', ''), /wants an encrypted connection: add \?sslmode=require/)
    await refused(at('localhost', '?sslmode=disable'), /wants an encrypted connection/)
    await refused(at('localhost', '?sslmode=verify-full'), /certificate is not trusted/)
    await refused(at('localhost', '?ssl=true'), /certificate is not trusted/)
    await refused(at('localhost', '?sslmode=require&sslrootcert=system'), /certificate is not trusted/)
    await refused(at('127.0.0.2', `?sslmode=verify-full${ca}`), /certificate is for another host/)
    const foreign = await startPostgres(t, { ssl: true })
    const foreignCa = `&sslrootcert=${encodeURIComponent(foreign.caFile ?? '')}`
    for (const mode of ['require', 'verify-ca', 'verify-full'])
      await refused(at('localhost', `?sslmode=${mode}${foreignCa}`), /certificate is not trusted/)
    t.strictSame(warnings, [])
  })
})

t.test('sslmode=prefer and allow find what the server accepts, for many connections at once', { skip: missing('postgres') }, async (t) => {
  const { url } = await createDatabase(t)
  for (const mode of ['prefer', 'allow']) {
    const address = new URL(url)
    address.searchParams.set('sslmode', mode)
    const db = open(t, address.href)
    const all = await Promise.all(
      Array.from({ length: 12 }, () => db.transaction(({ query }) => query('select ssl from pg_stat_ssl where pid = pg_backend_pid()'))),
    )
    t.strictSame(
      all,
      Array.from({ length: 12 }, () => [{ ssl: false }]),
      `${mode}, without TLS`,
    )
    address.password = 'wrong'
    address.username = 'not_there'
    await unavailable(t, backend(open(t, address.href)), /refuses the user or the password/)
  }
})

t.test('an unusable URL fails at once with a sentence that does not hold the password', async (t) => {
  const refused = (url: string, message: RegExp) => {
    try {
      openPostgres(url)
      t.fail(`took ${url}`)
    } catch (error) {
      t.type(error, AppError)
      t.match(error, { code: 'invalid', message })
      t.notMatch(inspect(error, { depth: 9, showHidden: true }), /hunter2/)
    }
  }
  const unreadable = /DATABASE_URL cannot be read\. It looks like postgres:\/\/.* # as %23/
  refused('postgres://user:hunter2#x@host/name', unreadable)
  refused('postgres://user:hunter2/x@host/name', unreadable)
  refused('postgres://user:hunter2?x@host/name', unreadable)
  refused('postgres://user:hunter2@host:99999/name', unreadable)
  refused('postgres://user:hunter2@ho st:5432:5432/name', unreadable)
  refused('postgres://user:hunter2@host/name?sslmode=always', /sslmode must be one of disable, allow/)
  refused('postgres://user:hunter2@host/name?sslmode=verify-ca', /needs sslrootcert=<file>/)
  refused('postgres://user:hunter2@host/name?sslrootcert=/nowhere/ca.pem', /names the file \/nowhere\/ca.pem, which cannot be read/)
})

t.test('a server of another protocol counts as a database that does not answer', async (t) => {
  // https://www.postgresql.org/docs/current/protocol-message-formats.html
  const signedIn = Buffer.from('R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I', 'latin1')
  const ended = Buffer.from('E\0\0\0\x18SFATAL\0C57P01\0Mend\0\0', 'latin1')
  const complete = Buffer.from('C\0\0\0\x08end\0', 'latin1')
  const servers: [name: string, mode: string, answer: (socket: Socket, at: number) => void][] = [
    ['a web server, asked for TLS', 'require', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['a web server', 'disable', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['one that hangs up', 'disable', (socket) => socket.destroy()],
    ['one that hangs up in the middle', 'disable', (socket, at) => (at === 0 ? socket.write(signedIn) : socket.destroy())],
    // As after pg_terminate_backend: the connection ends before its caller has it.
    ['one that signs in and ends in one breath', 'disable', (socket) => socket.end(Buffer.concat([signedIn, ended]))],
    ['one that answers twice', 'disable', (socket, at) => socket.write(at === 0 ? signedIn : Buffer.concat([complete, complete]))],
  ]
  for (const [name, mode, answer] of servers) {
    await t.test(name, async (t) => {
      const server = createServer((socket) => {
        let at = 0
        socket.on('error', () => {}).on('data', () => answer(socket, at++))
      }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      t.teardown(() => server.close())
      const db = openPostgres(`postgres://me@127.0.0.1:${(server.address() as AddressInfo).port}/agent?sslmode=${mode}`)
      t.teardown(() => db.close())
      await unavailable(t, db.query('select 1'), /does not answer|does not speak TLS/)
      await unavailable(
        t,
        db.transaction(() => Promise.resolve()),
        /does not answer|does not speak TLS/,
      )
    })
  }
})

t.test('with the system’s authorities the host’s name is verified too', async (t) => {
  for (const mode of ['require', 'verify-ca', 'verify-full'])
    t.strictSame(readPostgresUrl(`postgres://host/name?sslmode=${mode}&sslrootcert=system`).ssl, {})
})

t.test('accepts the URLs of hosting platforms', async (t) => {
  for (const url of [
    'postgres://user:p%40ss@host:5432/name',
    'postgresql://user:pass@host/name?sslmode=require&channel_binding=require',
    'postgres://user:pass@host:6543/name?pgbouncer=true&connection_limit=1',
    'postgres://user@/name?host=/var/run/postgresql',
    'postgres:///name?host=/var/run/postgresql',
    'postgres://user:pass@[::1]:5432/name',
  ]) {
    const db = openPostgres(url)
    await db.close()
    t.pass(url)
  }
})
