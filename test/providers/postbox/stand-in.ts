import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../../support/temp-folder.ts'

export interface PostboxStandIn {
  readonly url: string
  /** A valid token. */
  issue(): string
  isCurrent(token: string): boolean
}

/** A provider over HTTP. A refresh issues a new token and voids the old one. */
export async function startPostbox(t: Teardown): Promise<PostboxStandIn> {
  const living = new Set<string>()
  let count = 0
  const issue = (): string => {
    const token = `PB${'x'.repeat(20)}${count++}`
    living.add(token)
    return token
  }
  const server = createServer((request, response) => {
    const { pathname, searchParams: params } = new URL(request.url ?? '/', 'http://postbox.example')
    const give = (status: number, body: object, headers = {}): void =>
      void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    if (pathname === '/authorize')
      return give(302, {}, { location: `${params.get('redirect_uri')}?code=a-code&state=${params.get('state')}` })
    if (pathname === '/code') return give(200, { token: issue() })
    const token = params.get('token') ?? ''
    if (!living.has(token)) return give(401, {})
    if (pathname === '/me') return give(200, { id: '4711', name: 'counter' })
    living.delete(token)
    give(200, { token: issue() })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, issue, isCurrent: (token) => living.has(token) }
}
