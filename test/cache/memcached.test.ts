import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createMemcached, type Memcached, parseServers } from '../../src/cache/memcached.ts'
import { freePort } from '../support/free-port.ts'
import { startMemcached } from '../support/memcached.ts'
import { missing } from '../support/services.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitFor } from '../support/wait-for.ts'

const skip = missing('memcached')
/** Long enough for a slow machine, far above the deadline. */
const SETTLED_MS = 2000

interface Line {
  level: 'info' | 'warn'
  details: object
  message: string
}

// On a busy machine even a local answer may take more than 50 ms, so only tests of the deadline use it.
const PATIENT_MS = 5000

function cacheOn(t: Test, servers: string, options: { username?: string; password?: string; deadlineMs?: number } = {}) {
  const lines: Line[] = []
  const log = {
    info: (details: object, message: string) => void lines.push({ level: 'info', details, message }),
    warn: (details: object, message: string) => void lines.push({ level: 'warn', details, message }),
  }
  const cache = createMemcached({ servers, log, deadlineMs: PATIENT_MS, ...options })
  t.teardown(() => cache.close())
  return { cache, lines }
}

async function whenUp(cache: Memcached): Promise<void> {
  await waitFor('the cache to be up', () => cache.state().up)
}

async function whenDown(cache: Memcached): Promise<void> {
  await waitFor('the breaker to open', async () => {
    await cache.get('any')
    return !cache.state().up
  })
}

async function durationMs(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await action()
  return performance.now() - start
}

/** A server of another protocol, which sends `answer` to any bytes. */
async function startLiar(t: Test, answer: (socket: Socket, request: Buffer) => void) {
  const sockets = new Set<Socket>()
  let taken = 0
  const server = createServer((socket) => {
    taken++
    sockets.add(socket)
    socket.on('data', (request) => answer(socket, request))
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { server: `127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, taken: () => taken }
}

t.test('other instances read a value until it lapses', { skip }, async (t) => {
  const { server } = await startMemcached(t)
  const { cache } = cacheOn(t, server)
  const { cache: other } = cacheOn(t, server)
  await Promise.all([whenUp(cache), whenUp(other)])
  t.equal(await cache.get('row'), null)
  await cache.set('row', 'välue', 60)
  t.equal(await other.get('row'), 'välue')
  await cache.set('short', 'value', 1)
  await waitFor('the value to lapse', async () => (await other.get('short')) === null)
  t.equal(await other.get('row'), 'välue')
})

t.test('compare-and-set replaces only the state that was read', { skip }, async (t) => {
  const { server } = await startMemcached(t)
  const { cache } = cacheOn(t, server)
  const { cache: other } = cacheOn(t, server)
  await Promise.all([whenUp(cache), whenUp(other)])
  const seen = async (key: string) => (await cache.gets(key)) ?? { text: 'no answer', tag: null }
  const missing = await seen('row')
  t.equal(missing.text, null)
  t.equal(await cache.cas('row', 'first', 60, missing), true)
  t.equal(await cache.cas('row', 'second', 60, missing), false, 'a value was written since')
  const first = await seen('row')
  t.equal(first.text, 'first')
  t.equal(await other.set('row', 'first', 60), true)
  t.equal(await cache.cas('row', 'second', 60, first), false, 'the same text, written again')
  t.equal(await cache.cas('row', 'sécond', 60, await seen('row')), true)
  t.equal(await other.get('row'), 'sécond')
  const gone = await seen('row')
  await other.set('row', '', 1)
  await waitFor('the value to lapse', async () => (await other.get('row')) === null)
  t.equal(await cache.cas('row', 'third', 60, gone), false, 'it has lapsed')
  t.equal(await cache.cas('big', 'x'.repeat(1024 * 1024), 60, await seen('big')), null)
  t.ok(cache.state().up, 'none of this is a failure')
})

t.test('a value that Memcached would refuse is not sent', { skip }, async (t) => {
  const { server } = await startMemcached(t)
  const { cache } = cacheOn(t, server)
  await whenUp(cache)
  await cache.set('big', 'x'.repeat(1024 * 1024), 60)
  t.equal(await cache.get('big'), null)
  await cache.set('nearly', 'x'.repeat(1000 * 1000), 60)
  t.equal((await cache.get('nearly'))?.length, 1000 * 1000)
})

t.test('a stopped Memcached delays no read, and is used again once it runs', { skip }, async (t) => {
  const memcached = await startMemcached(t)
  const { cache, lines } = cacheOn(t, memcached.server, { deadlineMs: 50 })
  const { cache: patient } = cacheOn(t, memcached.server)
  await Promise.all([whenUp(cache), whenUp(patient)])
  await patient.set('row', 'value', 600)
  const linesBefore = lines.length

  memcached.freeze()
  let longest = 0
  const answers: Promise<string | null>[] = []
  for (let asked = 0; asked < 150; asked++) {
    const takenMs = startStopwatch()
    answers.push(
      cache.get('row').finally(() => {
        longest = Math.max(longest, takenMs())
      }),
    )
    await sleep(10)
  }
  // SIGSTOP takes a moment.
  t.ok((await Promise.all(answers)).slice(30).every((answer) => answer === null))
  t.ok(longest < SETTLED_MS, `the longest took ${Math.round(longest)} ms`)
  t.notOk(cache.state().up)

  memcached.thaw()
  const tookMs = await durationMs(() => whenUp(cache))
  t.comment(`up ${Math.round(tookMs)} ms after it went on`)
  await waitFor('the value', async () => (await cache.get('row')) === 'value')
  t.same(
    lines.slice(linesBefore).map((line) => line.level),
    ['warn', 'info'],
    'one line for each change',
  )
})

t.test('answers at once while the breaker is open', { skip }, async (t) => {
  const memcached = await startMemcached(t)
  const { cache } = cacheOn(t, memcached.server, { deadlineMs: 50 })
  await whenUp(cache)
  memcached.freeze()
  await whenDown(cache)
  const turn = new Promise((resolve) => setImmediate(resolve, 'the next turn of the loop'))
  const answers = Promise.all([cache.get('row'), cache.set('row', 'value', 60), cache.gets('row')])
  t.same(await Promise.race([answers, turn]), [null, false, null])
})

t.test('one slow answer is a miss, and does not open the breaker', { skip }, async (t) => {
  const { port } = await startMemcached(t)
  const proxy = await startTcpProxy(t, { port })
  const { cache, lines } = cacheOn(t, proxy.server, { deadlineMs: 400 })
  await whenUp(cache)
  await cache.set('row', 'value', 60)
  const linesBefore = lines.length
  proxy.blackHole()
  t.equal(await cache.get('row'), null)
  proxy.pass()
  await waitFor('the value', async () => (await cache.get('row')) === 'value')
  t.ok(proxy.accepted >= 2, 'over a new connection: the old one may still bring the old answer')
  t.same(lines.slice(linesBefore), [])
})

t.test('a killed Memcached is used again once it is back', { skip }, async (t) => {
  const memcached = await startMemcached(t)
  const { cache } = cacheOn(t, memcached.server)
  await whenUp(cache)
  await cache.set('row', 'value', 60)
  await memcached.kill()
  await whenDown(cache)
  t.equal(await cache.get('row'), null)
  const downSince = cache.state().since
  await memcached.restart()
  await whenUp(cache)
  t.ok(cache.state().since >= downSince)
  t.equal(await cache.get('row'), null)
  await cache.set('row', 'value', 60)
  t.equal(await cache.get('row'), 'value')
})

t.test('a Memcached that starts after the agent is used', { skip }, async (t) => {
  const port = await freePort()
  const { cache } = cacheOn(t, `127.0.0.1:${port}`)
  await whenDown(cache)
  await startMemcached(t, { port })
  await whenUp(cache)
})

t.test('recovers from an answer that was cut in the middle', { skip }, async (t) => {
  const { port } = await startMemcached(t)
  const proxy = await startTcpProxy(t, { port })
  const { cache } = cacheOn(t, proxy.server, { deadlineMs: 50 })
  const value = 'a value that is longer than what comes through'
  await waitFor('the value to be there', async () => {
    await cache.set('row', value, 600)
    return (await cache.get('row')) === value
  })
  proxy.cutAfter(40)
  for (let asked = 0; asked < 5; asked++) t.equal(await cache.get('row'), null)
  proxy.pass()
  await waitFor('the value', async () => (await cache.get('row')) === value)
})

t.test('an answer that stops in the middle of an open connection is dropped', async (t) => {
  let whole = false
  const liar = await startLiar(t, (socket, request) => {
    const answer = Buffer.alloc(24 + 4 + 5)
    answer.writeUInt8(0x81, 0)
    answer.writeUInt8(4, 4)
    answer.writeUInt32BE(9, 8)
    request.copy(answer, 12, 12, 16)
    answer.write('value', 28)
    // memjs would read the next answer as the rest of this one, for ever.
    socket.write(whole ? answer : answer.subarray(0, 26))
  })
  const { cache } = cacheOn(t, liar.server, { deadlineMs: 50 })
  t.equal(await cache.get('row'), null)
  t.equal(await cache.get('row'), null)
  whole = true
  await waitFor('the value', async () => (await cache.get('row')) === 'value')
})

t.test('a connection reset does not end the process', { skip }, async (t) => {
  const { port } = await startMemcached(t)
  const proxy = await startTcpProxy(t, { port })
  const { cache } = cacheOn(t, proxy.server)
  await whenUp(cache)
  await cache.set('row', 'value', 600)
  proxy.reset()
  for (let asked = 0; asked < 20; asked++) {
    t.equal(await cache.get('row'), null)
    await sleep(20)
  }
  proxy.pass()
  await waitFor('the value', async () => (await cache.get('row')) === 'value')
})

t.test('hundreds of calls to a stopped server open one connection at a time and leak none', { skip }, async (t) => {
  const memcached = await startMemcached(t)
  const sockets: Socket[] = []
  const note = (message: unknown) => void sockets.push((message as { socket: Socket }).socket)
  subscribe('net.client.socket', note)
  t.teardown(() => unsubscribe('net.client.socket', note))
  const { cache } = cacheOn(t, memcached.server, { deadlineMs: 50 })
  await whenUp(cache)
  memcached.freeze()
  let most = 0
  for (let round = 0; round < 60; round++) {
    await Promise.all(Array.from({ length: 20 }, () => cache.get('row')))
    most = Math.max(most, sockets.filter((socket) => !socket.destroyed).length)
    await sleep(25)
  }
  t.equal(most, 1, 'connections at a time')
  t.ok(sockets.length >= 3 && sockets.length <= 10, `${sockets.length} connections for 1,200 questions`)
  cache.close()
  t.ok(sockets.every((socket) => socket.destroyed))
})

/** Answers the first call, which tests the server, with a miss. */
function missFirst(lie: (socket: Socket) => void): (socket: Socket, request: Buffer) => void {
  const proven = new Set<Socket>()
  return (socket, request) => {
    if (proven.has(socket)) return lie(socket)
    proven.add(socket)
    const answer = Buffer.alloc(24)
    answer.writeUInt8(0x81, 0)
    answer.writeUInt16BE(1, 6)
    request.copy(answer, 12, 12, 16)
    socket.write(answer)
  }
}

t.test('an answer in another protocol is refused by its first byte', async (t) => {
  const say = (socket: Socket) => void socket.write('HTTP/1.1 400 Bad Request\r\nConnection: keep-alive\r\n\r\n')
  const http = await startLiar(t, missFirst(say))
  const { cache } = cacheOn(t, http.server, { deadlineMs: 20_000 })
  await whenUp(cache)
  const tookMs = await durationMs(() => cache.get('row'))
  t.ok(tookMs < 10_000, `not by the deadline: ${Math.round(tookMs)} ms`)

  const { cache: other } = cacheOn(t, (await startLiar(t, say)).server)
  t.equal(await other.get('row'), null)
  await whenDown(other)
})

t.test('an endless answer is cut off', async (t) => {
  const chunk = Buffer.alloc(256 * 1024, 0x81)
  let sent = 0
  const flood = await startLiar(
    t,
    missFirst((socket) => {
      const header = Buffer.alloc(24)
      header.writeUInt8(0x81, 0)
      header.writeUInt32BE(0x7fffffff, 8)
      socket.write(header)
      const more = () => {
        do sent += chunk.length
        while (!socket.destroyed && sent < 100_000_000 && socket.write(chunk))
      }
      socket.on('drain', more)
      more()
    }),
  )
  const { cache } = cacheOn(t, flood.server, { deadlineMs: 20_000 })
  await whenUp(cache)
  t.equal(await cache.get('row'), null)
  t.ok(sent < 20_000_000, `after ${sent} bytes`)
})

t.test('noise of every kind is a miss', async (t) => {
  let seed = 1
  const random = () => {
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed / 2147483648
  }
  const noise = await startLiar(t, (socket, request) => {
    const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 120) }, () => Math.floor(random() * 256)))
    if (random() < 0.5 && bytes.length >= 24) {
      // Noise that looks like an answer: right magic byte, right opcode.
      bytes.writeUInt8(0x81, 0)
      bytes.writeUInt32BE(Math.floor(random() * 80), 8)
      request.copy(bytes, 12, 12, 16)
    }
    socket.write(bytes)
    if (random() < 0.2) socket.destroy()
  })
  const { cache } = cacheOn(t, noise.server, { deadlineMs: 20 })
  for (let round = 0; round < 100; round++) {
    const answer = await cache.get('row')
    if (answer !== null && typeof answer !== 'string') t.fail('neither text nor a miss')
    await sleep(10)
  }
  t.pass('still here')
})

t.test('a dead server of several loses only its own keys', { skip }, async (t) => {
  const live = await startMemcached(t)
  const other = await startMemcached(t)
  const { cache } = cacheOn(t, `${live.server},${other.server}`)
  const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`)
  const hits = async () => (await Promise.all(keys.map((key) => cache.get(key)))).filter((value) => value === 'value').length
  const fill = () => Promise.all(keys.map((key) => cache.set(key, 'value', 600)))
  await whenUp(cache)
  await fill()
  t.equal(await hits(), keys.length)

  await other.kill()
  await waitFor('the dead server to be noticed', async () => {
    await hits()
    return !cache.state().up
  })
  const left = await hits()
  t.ok(left > 0 && left < keys.length, `${left} of ${keys.length} keys are left`)
  t.same(
    cache.state().servers.map(({ server, up }) => [server, up]),
    [
      [live.server, true],
      [other.server, false],
    ],
  )

  await other.restart()
  await whenUp(cache)
  await fill()
  t.equal(await hits(), keys.length)
})

t.test('signs in by SASL where a user is named', { skip: missing('sasl') }, async (t) => {
  const sasl = { username: 'agent', password: 'canary-password' }
  const { server } = await startMemcached(t, { sasl })
  const { cache } = cacheOn(t, server, sasl)
  await whenUp(cache)
  await cache.set('row', 'value', 60)
  t.equal(await cache.get('row'), 'value')

  const { cache: stranger, lines } = cacheOn(t, server, { ...sasl, password: 'wrong' })
  t.equal(await stranger.get('row'), null)
  await whenDown(stranger)
  t.notMatch(JSON.stringify(lines), /wrong|canary/)
  t.match(JSON.stringify(lines), /authentication failed/)
})

t.test('after close it answers null and holds no connection', { skip }, async (t) => {
  const { port } = await startMemcached(t)
  const proxy = await startTcpProxy(t, { port })
  const { cache } = cacheOn(t, proxy.server)
  await whenUp(cache)
  const asked = cache.get('row')
  cache.close()
  t.equal(await asked, null)
  t.equal(await cache.get('row'), null)
  await cache.set('row', 'value', 60)
  await waitFor('the connection to be gone', () => proxy.connections === 0)
  t.equal(proxy.accepted, 1)
})

t.test('reads a list of servers and explains a wrong entry', async (t) => {
  t.same(parseServers('mc1.example.com:11212, mc2 [::1]:11213'), [
    { host: 'mc1.example.com', port: 11212 },
    { host: 'mc2', port: 11211 },
    { host: '::1', port: 11213 },
  ])
  for (const wrong of ['', ' , ', 'host:0', 'host:65536', 'host:port', 'a:b@host:1', ':11211', 'http://host:1']) {
    t.throws(() => parseServers(wrong), /host:port/, wrong)
  }
})
