import { createServer } from 'node:http'

/** Answers as the agent does while its store is down, until the returned function is called. */
export async function answerNotReady(
  { host, port }: { host: string; port: number },
  store: { since: Date; message: string },
): Promise<() => Promise<void>> {
  const server = createServer((request, response) => {
    const isAlive = request.url === '/healthz'
    const body = isAlive
      ? { status: 'ok' }
      : request.url === '/readyz'
        ? { ready: false, parts: { store: { state: 'down', ...store } } }
        : { error: 'unavailable', message: 'The agent waits for the key of its store. Its log says why.' }
    const headers = {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'retry-after': '5',
      connection: 'close',
    }
    response.writeHead(isAlive ? 200 : 503, headers).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}
