import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { BROWSERS, launchBrowser } from './support/browser.ts'
import { sendRaw } from './support/raw-http.ts'
import { missing } from './support/services.ts'
import { pages, proxyTo, startSites } from './support/sites.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import type { Teardown } from './support/temp-folder.ts'

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
