import { existsSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { BROWSERS, launchBrowser } from './support/browser.ts'
import { memcachedServer, startMemcached } from './support/memcached.ts'
import { createDatabaseOn, queryOnce, startPostgres } from './support/postgres.ts'
import { isAlive } from './support/process-list.ts'
import { sendRaw } from './support/raw-http.ts'
import { missing } from './support/services.ts'
import { createDatabase } from './support/shared-postgres.ts'
import { pages, proxyTo, startSites } from './support/sites.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import type { Teardown } from './support/temp-folder.ts'

t.test('PostgreSQL', { skip: missing('postgres') }, async (t) => {
  t.test('gives each test its own database, and drops it', async (t) => {
    let url = ''
    await t.test('inside', async (t) => {
      const [one, two] = [await createDatabase(t), await createDatabase(t)]
      url = one.url
      await one.query('create table things (name text)')
      t.same(await one.query('select * from things'), [])
      await t.rejects(two.query('select * from things'), { code: '42P01' })
    })
    await t.rejects(queryOnce(url, 'select 1'), { code: '3D000' }, 'it is gone afterwards')
  })

  t.test('a private server stops, starts again, is frozen and thawed, and leaves nothing', async (t) => {
    let left = { pid: 0, folder: '' }
    await t.test('inside', async (t) => {
      const server = await startPostgres(t, { settings: { max_connections: 7 } })
      left = server
      t.same(await server.query('show max_connections'), [{ max_connections: '7' }])
      await server.query('create table kept (name text)')
      await server.stop('fast')
      await t.rejects(server.query('select 1'), { code: 'ECONNREFUSED' })
      await server.start()
      t.same(await server.query('select * from kept'), [])
      server.freeze()
      const answer = server.query('select 2 as two')
      const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 300, 'silence'))])
      t.equal(first, 'silence')
      server.thaw()
      t.same(await answer, [{ two: 2 }])
      server.freeze()
    })
    t.equal(isAlive(left.pid), false)
    t.equal(existsSync(left.folder), false)
  })

  t.test('accepts only TLS, with a chain that its authority verifies', { skip: missing('openssl') }, async (t) => {
    const server = await startPostgres(t, { ssl: true })
    t.same(await server.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()'), [{ ssl: true }])
    const plain = new URL(server.url)
    plain.search = ''
    await t.rejects(queryOnce(plain.href, 'select 1'), { code: '28000' })
    plain.search = `?sslmode=verify-ca&sslrootcert=${server.caFile}`
    t.same(await queryOnce(plain.href, 'select 1 as one'), [{ one: 1 }])
    plain.search = '?sslmode=verify-full'
    await t.rejects(queryOnce(plain.href, 'select 1'), /self-signed certificate/)
  })

  t.test('fills its disk up', { skip: process.getuid?.() === 0 ? false : 'needs root to mount a small disk' }, async (t) => {
    const server = await startPostgres(t, { tmpfsMegabytes: 80 })
    const database = await createDatabaseOn(server.url, t)
    await database.query('create table filler (bytes text)')
    await database.query('alter table filler alter bytes set storage plain')
    const fill = 'insert into filler select repeat(md5(n::text), 50) from generate_series(1, 100000) as n'
    await t.rejects(database.query(fill))
  })
})

t.test('Memcached', { skip: missing('memcached') }, async (t) => {
  t.test('stores, hangs, dies, restarts empty, and leaves nothing', async (t) => {
    let pid = 0
    await t.test('inside', async (t) => {
      const cache = await startMemcached(t)
      t.match((await sendRaw(cache.port, 'set key 0 60 5\r\nvalue\r\nget key\r\nquit\r\n')).raw, /STORED\r\nVALUE key 0 5\r\nvalue/)
      cache.freeze()
      const answer = sendRaw(cache.port, 'get key\r\nquit\r\n')
      const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 300, 'silence'))])
      t.equal(first, 'silence')
      cache.thaw()
      t.match((await answer).raw, /VALUE key/)
      await cache.kill()
      t.equal((await sendRaw(cache.port, 'get key\r\n')).raw, '')
      await cache.restart()
      t.equal((await sendRaw(cache.port, 'get key\r\nquit\r\n')).raw, 'END\r\n')
      pid = cache.pid
    })
    t.equal(isAlive(pid), false)
  })

  t.test('asks for a password', { skip: missing('sasl') }, async (t) => {
    const cache = await startMemcached(t, { sasl: { username: 'agent', password: 'right' } })
    t.equal(await signIn(cache.port, 'agent', 'right'), 0)
    t.equal(await signIn(cache.port, 'agent', 'wrong'), 0x20)
  })

  t.test('uses an external server if there is one', async (t) => {
    const port = Number((await memcachedServer(t)).split(':')[1])
    t.match((await sendRaw(port, 'version\r\nquit\r\n')).raw, /^VERSION/)
  })
})

t.test('the fault proxy', async (t) => {
  const listener: RequestListener = (request, response) => {
    response.setHeader('connection', request.url === '/keep' ? 'keep-alive' : 'close')
    response.end('x'.repeat(1000))
  }
  const proxied = async (t: Teardown) => startTcpProxy(t, { port: await listen(t, listener) })
  const get = (port: number) => sendRaw(port, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  const silence = (answer: Promise<unknown>, ms = 300) =>
    Promise.race([answer.then(() => 'answer'), new Promise((resolve) => setTimeout(resolve, ms, 'silence'))])

  t.test('passes', async (t) => {
    t.equal((await get((await proxied(t)).port)).body.length, 1000)
  })
  t.test('delays each way', async (t) => {
    const proxy = await proxied(t)
    proxy.delay(200)
    const start = performance.now()
    t.equal((await get(proxy.port)).status, 200)
    t.ok(performance.now() - start >= 390)
  })
  t.test('swallows bytes, which stay lost', async (t) => {
    const proxy = await proxied(t)
    proxy.blackHole()
    const lost = get(proxy.port)
    t.equal(await silence(lost), 'silence')
    proxy.pass()
    t.equal((await get(proxy.port)).status, 200, 'new connections work')
    t.equal(await silence(lost, 100), 'silence')
    await proxy.close()
    t.equal((await lost).status, 0)
  })
  t.test('holds bytes back, and delivers them on request', async (t) => {
    const proxy = await proxied(t)
    proxy.blackHole({ resume: true })
    const held = get(proxy.port)
    t.equal(await silence(held), 'silence')
    proxy.pass()
    t.equal((await held).status, 200)
  })
  t.test('silences an open connection', async (t) => {
    const proxy = await proxied(t)
    const answer = sendRaw(proxy.port, 'GET /keep HTTP/1.1\r\nhost: x\r\n\r\n', { waitMs: 200 }, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await new Promise((resolve) => setTimeout(resolve, 100))
    proxy.blackHole()
    t.equal(await silence(answer, 500), 'silence')
    await proxy.close()
    t.equal((await answer).raw.split('HTTP/1.1 200').length - 1, 1)
  })
  t.test('cuts an answer short', async (t) => {
    const proxy = await proxied(t)
    proxy.cutAfter(30)
    t.equal((await get(proxy.port)).raw.length, 30)
  })
  t.test('resets', async (t) => {
    const proxy = await proxied(t)
    proxy.reset()
    await t.rejects(fetch(`http://${proxy.server}`), { cause: { code: 'ECONNRESET' } })
  })
})

t.test('raw HTTP sends and shows repeated headers', async (t) => {
  const port = await listen(t, (request, response) => {
    response.setHeader('set-cookie', ['a=1', 'b=2']).end(String(request.headers['x-twice']))
  })
  const answer = await sendRaw(
    port,
    'GET / HTTP/1.1\r\nhost: x\r\nx-twice: 1\r\n',
    { waitMs: 20 },
    'x-twice: 2\r\nconnection: close\r\n\r\n',
  )
  t.equal(answer.status, 200)
  t.equal(answer.body, '1, 2')
  t.same(
    answer.headers.filter(([name]) => name === 'set-cookie'),
    [
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
    ],
  )
})

for (const name of BROWSERS) {
  t.test(`${name} opens made-up https sites and no others`, { skip: missing(name, 'openssl') }, async (t) => {
    const port = await listen(t, (_, response) => response.setHeader('access-control-allow-origin', '*').end('from the agent'))
    const sites = await startSites(t, {
      'shop.example': pages({
        '/': '<h1>Shop</h1><script src="/app.js"></script>',
        '/app.js': { type: 'text/javascript', body: 'var ran = 1' },
      }),
      'agent.example': proxyTo(`http://127.0.0.1:${port}`),
    })
    const page = await (await launchBrowser(t, name, sites)).newPage({ ignoreHTTPSErrors: true })
    await page.goto('https://shop.example/')
    t.equal(await page.textContent('h1'), 'Shop')
    t.equal(await page.evaluate('ran'), 1)
    t.equal(await page.evaluate("fetch('https://agent.example/').then((answer) => answer.text())"), 'from the agent')
    await t.rejects(page.goto('https://elsewhere.example/'), /ERR_NAME_NOT_RESOLVED|NS_ERROR_UNKNOWN_HOST/)
  })
}

async function listen(t: Teardown, listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** The status of a SASL PLAIN request in Memcached's binary protocol. */
async function signIn(port: number, username: string, password: string): Promise<number> {
  const mechanism = 'PLAIN'
  const value = `\0${username}\0${password}`
  const header = Buffer.alloc(24)
  header.writeUInt8(0x80, 0)
  header.writeUInt8(0x21, 1)
  header.writeUInt16BE(mechanism.length, 2)
  header.writeUInt32BE(mechanism.length + value.length, 8)
  const quit = Buffer.alloc(24)
  quit.writeUInt8(0x80, 0)
  quit.writeUInt8(0x07, 1)
  const { raw } = await sendRaw(port, header, mechanism + value, quit)
  return Buffer.from(raw, 'latin1').readUInt16BE(6)
}
