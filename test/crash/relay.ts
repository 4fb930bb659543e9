import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Teardown } from '../support/temp-folder.ts'

/** The moments of a provider call that a test outside the agent can see. */
export type CallMoment = 'asked' | 'answered' | 'delivered'

export interface Relay {
  readonly url: string
}

interface Target {
  readonly url: string
  readonly refreshPath: string
}

/** A proxy between the agent and its provider. If `watch` says so, it holds the answer back until its caller is dead. */
export async function startRelay(t: Teardown, { url, refreshPath }: Target, watch: (moment: CallMoment) => boolean): Promise<Relay> {
  const server = createServer(async (request, response) => {
    const isRefresh = request.url?.startsWith(refreshPath) === true
    const seen = (moment: CallMoment): boolean => isRefresh && watch(moment)
    response.on('error', () => {})
    const { method = 'GET', headers: asked } = request
    const sent = await text(request)
    seen('asked')
    const headers = { 'content-type': asked['content-type'] ?? '', authorization: asked.authorization ?? '' }
    const how = sent === '' ? {} : { method, headers, body: sent }
    const answer = await fetch(url + request.url, how).catch(() => null)
    if (answer === null) return response.destroy()
    const body = await answer.text()
    if (seen('answered')) return
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
    response.end(body, () => seen('delivered'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
