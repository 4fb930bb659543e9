import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type RequestListener, request } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { selfSignedChain } from './certificates.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'

export interface Sites {
  readonly hosts: string[]
  readonly port: number
}

export interface Page {
  type?: string
  headers?: Record<string, string>
  body: string
}

/** One https server for all of these hosts; launchBrowser resolves their names to it. */
export async function startSites(t: Teardown, sites: Record<string, RequestListener>): Promise<Sites> {
  const hosts = Object.keys(sites)
  const { chainFile, keyFile } = selfSignedChain(tempFolder(t, 'sites'), hosts)
  const server = createServer({ cert: readFileSync(chainFile), key: readFileSync(keyFile) }, (incoming, response) => {
    const site = sites[(incoming.headers.host ?? '').replace(/:\d+$/, '')]
    if (site !== undefined) site(incoming, response)
    else response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { hosts, port: (server.address() as AddressInfo).port }
}

/** A site of fixed pages by path; a string is HTML. */
export function pages(byPath: Record<string, string | Page>): RequestListener {
  return (incoming, response) => {
    const found = byPath[(incoming.url ?? '/').split('?')[0] ?? '/']
    if (found === undefined) {
      response.writeHead(404).end()
      return
    }
    const page: Page = typeof found === 'string' ? { body: found } : found
    response.writeHead(200, { 'content-type': page.type ?? 'text/html; charset=utf-8', ...page.headers }).end(page.body)
  }
}

/** Serves the server at this URL under another name, over https. */
export function proxyTo(url: string): RequestListener {
  return (incoming, response) => {
    const { method, headers } = incoming
    const onward = request(new URL(incoming.url ?? '/', url), { ...(method === undefined ? {} : { method }), headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    // A page that is left ends its requests.
    response.on('close', () => onward.destroy())
    incoming.pipe(onward)
  }
}
