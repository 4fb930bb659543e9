import { request as send } from 'node:http'
import { type Agent, startAgent } from '../support/agent.ts'
import { type Instagram, startInstagram } from '../support/instagram.ts'
import type { Teardown } from '../support/temp-folder.ts'

export const SITE = 'https://shop.example'
export const OTHER_SITE = 'https://evil.example'
export const SERVER_KEY = 'server-key-0123456789abcdef'
export const WEBHOOK_SECRET = 'webhook-secret-0123456789abcdef'

export interface Serving {
  readonly agent: Agent
  readonly instagram: Instagram
  /** The token that is served. */
  readonly token: string
}

/** The agent as people run it, on the embedded store, with a starting token that has been refreshed once. */
export async function startServing(t: Teardown, env: Record<string, string> = {}): Promise<Serving> {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const starting = instagram.issue()
  const agent = await startAgent(t, {
    ready: '/readyz',
    env: {
      STARTING_TOKEN: starting,
      ALLOWED_DOMAINS: 'shop.example *.shops.example http://localhost:8080',
      APP_URL: 'https://agent.example',
      SERVER_KEYS: `another-key-0123456789,${SERVER_KEY}`,
      WEBHOOK_SECRET,
      INSTAGRAM_GRAPH_URL: instagram.url,
      ...env,
    },
  })
  return { agent, instagram, token: instagram.issued.get(starting)?.replacedBy ?? starting }
}

export interface Asked {
  method?: string
  headers?: Record<string, string>
  body?: string
}

export interface Answered {
  readonly status: number
  readonly headers: Record<string, string>
  /** Names that came more than once. */
  readonly doubled: string[]
  readonly body: string
}

/** One request with exactly these headers: fetch adds some of its own, and leaves others out. */
export function ask({ port }: { port: number }, path: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const request = send({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => {
        const names = response.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
        const values = response.rawHeaders.filter((_, index) => index % 2 === 1)
        resolve({
          status: response.statusCode ?? 0,
          headers: Object.fromEntries(names.map((name, index) => [name, values[index] ?? ''])),
          doubled: names.filter((name, index) => names.indexOf(name) !== index),
          body: text,
        })
      })
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** Runs the script as a page would, and gives what `name` is then. */
export function runScript(script: string, name: string): { value: unknown; descriptor: PropertyDescriptor | undefined } {
  const page: Record<string, unknown> = {}
  new Function('globalThis', script)(page)
  return { value: page[name], descriptor: Object.getOwnPropertyDescriptor(page, name) }
}
