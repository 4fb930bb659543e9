import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { freePort } from './free-port.ts'
import { launch } from './process.ts'
import { binary } from './services.ts'
import type { Sites } from './sites.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'
import { waitFor } from './wait-for.ts'

/** One window of WebKit, the engine of Safari. */
export interface WebKit {
  goto(url: string): Promise<void>
  /** The value of a JavaScript expression in the page. */
  evaluate(expression: string): Promise<unknown>
}

/** Debian's WebKitGTK by WebDriver (https://www.w3.org/TR/webdriver2/), for which the given sites are the whole internet. */
export async function launchWebKit(t: Teardown, sites: Sites): Promise<WebKit> {
  const home = tempFolder(t, 'webkit')
  const number = (await freePort()) % 60_000
  const screen = await launch(binary('xvfb'), [`:${number}`, '-screen', '0', '1280x1024x24', '-nolisten', 'tcp'], { env: { HOME: home } })
  // Killed, it would leave its lock in /tmp.
  t.teardown(() => screen.end('SIGTERM'))
  const proxy = await startProxy(t, sites)
  const port = await freePort()
  const env = {
    DISPLAY: `:${number}`,
    HOME: home,
    XDG_RUNTIME_DIR: home,
    // WebKit has no resolver rules. The driver itself is reached directly.
    https_proxy: proxy,
    no_proxy: '127.0.0.1',
    LIBGL_ALWAYS_SOFTWARE: '1',
  }
  const driver = await launch(binary('webkit'), [`--port=${port}`], { env })
  t.teardown(() => driver.end('SIGKILL'))

  async function command(method: 'GET' | 'POST', path: string, body?: object): Promise<unknown> {
    const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
    const response = await fetch(`http://127.0.0.1:${port}${path}`, init)
    const { value } = (await response.json()) as { value: unknown }
    if (!response.ok) throw new Error(`WebKit refuses ${path}: ${JSON.stringify(value)}\n${driver.stderr()}${screen.stderr()}`)
    return value
  }
  await waitFor('WebKit’s driver to listen', () => command('GET', '/status'))
  const capabilities = { alwaysMatch: { acceptInsecureCerts: true } }
  // The screen may not be there yet.
  const session = await waitFor('WebKit to open a window', () => command('POST', '/session', { capabilities }))
  const { sessionId } = session as { sessionId: string }
  return {
    async goto(url) {
      await command('POST', `/session/${sessionId}/url`, { url })
    },
    evaluate: (expression) => command('POST', `/session/${sessionId}/execute/sync`, { script: `return ${expression}`, args: [] }),
  }
}

/** Leads the hosts of the sites to their one server, and others nowhere. */
async function startProxy(t: Teardown, { hosts, port }: Sites): Promise<string> {
  const server = createServer((_request, response) => void response.writeHead(502).end())
  server.on('connect', ({ url = '' }, socket) => {
    socket.on('error', () => socket.destroy())
    if (!hosts.includes(url.replace(/:443$/, ''))) return void socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    const onward = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    onward.on('error', () => socket.destroy())
    socket.on('close', () => onward.destroy())
    onward.on('close', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
