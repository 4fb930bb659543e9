import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAgent } from '../../src/agent.ts'
import { readConfig } from '../../src/config/config.ts'
import { createApp } from '../../src/http/app.ts'
import { createLogger } from '../../src/logger.ts'
import { startSchedule } from '../../src/timer.ts'
import { ENCRYPTION_KEY, type Kept, keepAccounts } from './accounts.ts'
import { FACEBOOK_APP, type FacebookStandIn } from './facebook.ts'
import { type Instagram, startInstagram } from './instagram.ts'
import type { Knobs } from './instagram-knobs.ts'
import type { Answered, Asked } from './raw-http.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'

export const SITE = 'https://shop.example'
export const OTHER_SITE = 'https://evil.example'
export const PASSWORD = 'a password for the owner'
export const SERVER_KEY = 'server-key-0123456789abcdef'
export const WEBHOOK_SECRET = 'webhook-secret-0123456789abcdef'
const APP_URL = 'http://127.0.0.1:3000'

/** The agent in this process: the real application on a real store. `fetch` uses inject; only `listen` opens a port. */
export interface OpenAgent {
  readonly instagram: Instagram
  /** The address shown by its pages. */
  readonly url: string
  readonly cwd: string
  /** The log. */
  stdout(): string
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Opens a port, for raw bytes and browsers. */
  listen(port?: number): Promise<number>
  /** Runs a statement on the embedded store over another connection. */
  sql<Row>(statement: string): Row[]
  close(): Promise<void>
}

export interface AgentOptions {
  env?: Record<string, string>
  knobs?: Partial<Knobs>
  /** The folder of an earlier agent, for a restart. */
  cwd?: string
  instagram?: Instagram
  accounts?: readonly Kept[]
}

/** Starts the agent and closes it after the test; the test may close it earlier. */
export async function openAgent(t: Teardown, options: AgentOptions = {}): Promise<OpenAgent> {
  const { env = {}, cwd = tempFolder(t, 'agent'), accounts, instagram = await startInstagram({ knobs: options.knobs ?? {} }) } = options
  if (options.instagram === undefined) t.teardown(() => instagram.close())
  if (accounts !== undefined) await keepAccounts(cwd, accounts)
  const file = join(cwd, 'data/token-agent.sqlite')
  const key = accounts === undefined ? {} : { ENCRYPTION_KEY }
  const config = readConfig({ DATABASE_URL: `sqlite:${file}`, APP_URL, ...key, ...settingsFor(instagram), ...env })
  const lines: string[] = []
  const log = createLogger(config.logLevel, { write: (line) => void lines.push(line) })
  for (const { text } of config.warnings) log.warn({}, text)
  const agent = await createAgent(config, log)
  const metering = await agent.openMetrics()
  const app = await createApp({ ...agent, metering, meter: metering?.meter ?? null }, log, config.trustProxy)
  await agent.migrate('server')
  const schedule = startSchedule(agent.work, log)
  await schedule.booted
  agent.announcePassword()
  const redirectUri = `${config.appUrl}/connect/instagram/callback`
  instagram.apps[0]?.redirectUris.push(redirectUri)
  let isClosed = false
  const close = async (): Promise<void> => {
    if (isClosed) return
    isClosed = true
    schedule.stop()
    await agent.stopRefreshing(5_000)
    app.server.closeAllConnections()
    await app.close()
    await agent.close()
  }
  t.teardown(close)
  return {
    instagram,
    url: config.appUrl,
    cwd,
    stdout: () => lines.join(''),
    async fetch(path, { method = 'GET', headers, body = null } = {}) {
      const sent = new Headers(headers)
      if (body instanceof URLSearchParams) sent.set('content-type', 'application/x-www-form-urlencoded')
      const payload = body === null ? {} : { payload: String(body) }
      const response = await app.inject({ method: method as 'GET', url: path, headers: Object.fromEntries(sent), ...payload })
      const answered = new Headers()
      for (const [name, values] of Object.entries(response.headers)) for (const one of [values].flat()) answered.append(name, String(one))
      const { statusCode: status, rawPayload } = response
      return new Response(rawPayload.length === 0 ? null : Uint8Array.from(rawPayload), { status, headers: answered })
    },
    async listen(port = 0) {
      return Number(new URL(await app.listen({ host: '127.0.0.1', port })).port)
    },
    sql(statement) {
      const db = new DatabaseSync(file, { timeout: 5_000 })
      try {
        return db.prepare(statement).all() as never
      } finally {
        db.close()
      }
    },
    close,
  }
}

export interface OwnerWorld {
  readonly agent: OpenAgent
  readonly instagram: Instagram
  /** The browser of the signed-in owner. */
  readonly owner: Client
  /** A browser without a session. */
  readonly stranger: Client
  readonly redirectUri: string
}

/** The owner's browser. */
export async function signedIn(agent: OpenAgent): Promise<Client> {
  const owner = createClient(agent)
  const { status } = await owner.signIn(PASSWORD)
  if (status !== 303) throw new Error(`the owner could not sign in: ${status}`)
  return owner
}

/** An agent, Instagram, and a signed-in owner. */
export async function createOwner(t: Teardown, options: AgentOptions = {}): Promise<OwnerWorld> {
  const agent = await openAgent(t, options)
  const owner = await signedIn(agent)
  return { agent, instagram: agent.instagram, owner, stranger: createClient(agent), redirectUri: `${agent.url}/connect/instagram/callback` }
}

export interface Serving {
  readonly agent: OpenAgent
  readonly instagram: Instagram
  /** The served token. */
  readonly token: string
}

/** An agent whose starting token has been refreshed once, with a list of web sites and keys. */
export async function openServing(t: Teardown, env: Record<string, string> = {}): Promise<Serving> {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const starting = instagram.issue()
  const agent = await openAgent(t, { instagram, env: { ...servingSettings(instagram, starting), ...env } })
  return { agent, instagram, token: instagram.issued.get(starting)?.replacedBy ?? starting }
}

export function servingSettings({ url }: Instagram, startingToken: string): Record<string, string> {
  return {
    STARTING_TOKEN: startingToken,
    ALLOWED_DOMAINS: 'shop.example *.shops.example http://localhost:8080',
    APP_URL: 'https://agent.example',
    SERVER_KEYS: `another-key-0123456789,${SERVER_KEY}`,
    WEBHOOK_SECRET,
    INSTAGRAM_GRAPH_URL: url,
  }
}

/** The settings for a stand-in of Facebook, which learns the agent's redirect URI. */
export function facebookSettings({ url, redirectUris }: FacebookStandIn): Record<string, string> {
  redirectUris.push(`${APP_URL}/connect/facebook/callback`)
  return {
    FACEBOOK_APP_ID: FACEBOOK_APP.id,
    FACEBOOK_APP_SECRET: FACEBOOK_APP.secret,
    FACEBOOK_GRAPH_URL: url,
    FACEBOOK_WEB_URL: url,
  }
}

/** The settings for a stand-in of Threads, which learns the agent's redirect URI. */
export function threadsSettings({ url, apps }: Instagram): Record<string, string> {
  const [app] = apps
  app?.redirectUris.push(`${APP_URL}/connect/threads/callback`)
  return {
    THREADS_APP_ID: app?.clientId ?? '',
    THREADS_APP_SECRET: app?.clientSecret ?? '',
    THREADS_GRAPH_URL: url,
    THREADS_WEB_URL: url,
  }
}

export function settingsFor({ url, apps }: Instagram): Record<string, string> {
  return {
    ADMIN_PASSWORD: PASSWORD,
    INSTAGRAM_APP_ID: apps[0]?.clientId ?? '',
    INSTAGRAM_APP_SECRET: apps[0]?.clientSecret ?? '',
    INSTAGRAM_GRAPH_URL: url,
    INSTAGRAM_API_URL: url,
    INSTAGRAM_WEB_URL: url,
    ALLOWED_DOMAINS: 'shop.example',
  }
}

/** A browser with forms and cookies, without script; tests follow redirects themselves. */
export interface Client {
  readonly cookies: Map<string, string>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  head(path: string): Promise<Answer>
  /** The text of a page, with white space collapsed. */
  page(path: string): Promise<string>
  /** Sends a form as the agent's own pages do. */
  post(path: string, form?: Record<string, string>, headers?: Record<string, string>): Promise<Answer>
  /** Signs in; retries after each 429 until it is drawn. */
  signIn(password: string): Promise<Answer>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly location: string | null
  readonly text: string
}

/** An agent in this or another process. */
export type Fetching = Pick<OpenAgent, 'fetch'>
export const HTML = { accept: 'text/html' }
const SAME_ORIGIN = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate' }

export function createClient(agent: Fetching, cookies = new Map<string, string>()): Client {
  async function send(path: string, init: RequestInit): Promise<Answer> {
    const headers = new Headers(init.headers)
    if (cookies.size > 0) headers.set('cookie', cookieHeader(cookies))
    const response = await agent.fetch(path, { ...init, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '' || /expires=Thu, 01 Jan 1970/i.test(line)) cookies.delete(name)
      else cookies.set(name, value)
    }
    const text = await response.text()
    return { status: response.status, headers: response.headers, location: response.headers.get('location'), text }
  }
  const client: Client = {
    cookies,
    get: (path, headers = {}) => send(path, { headers }),
    head: (path) => send(path, { method: 'HEAD' }),
    page: async (path) => (await client.get(path, HTML)).text.replace(/\s+/g, ' '),
    post: (path, form = {}, headers = SAME_ORIGIN) => send(path, { method: 'POST', body: new URLSearchParams(form), headers }),
    async signIn(password) {
      const untilMs = performance.now() + 60_000
      for (;;) {
        const answer = await client.post('/admin/sign-in', { password })
        if (answer.status !== 429 || performance.now() > untilMs) return answer
        await sleep(Number(answer.headers.get('retry-after')) * 1000)
      }
    },
  }
  return client
}

function cookieHeader(cookies: ReadonlyMap<string, string>): string {
  return [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
}

/** The provider's address that the page leads to. */
export function authorizeUrlIn(answer: Answer): string {
  return (/<a href="([^"]+)" rel="noreferrer">/.exec(answer.text)?.[1] ?? '').replaceAll('&amp;', '&')
}

/** The callback that the provider redirects to, as a path of the agent. */
export async function approve(authorizeUrl: string): Promise<string> {
  const { headers } = await fetch(authorizeUrl, { redirect: 'manual' })
  const target = new URL(headers.get('location') ?? '')
  return target.pathname + target.search
}

/** Connects an account; returns the callback's answer. */
export async function connect(client: Client, account = 'default'): Promise<Answer> {
  const page = await client.post('/connect/instagram', { account })
  return client.get(await approve(authorizeUrlIn(page)))
}

export async function served(agent: Fetching, path = '/token.json', origin = SITE): Promise<{ status: number; token: string | null }> {
  const response = await agent.fetch(path, { headers: { origin } })
  const body = (await response.json()) as { token?: string }
  return { status: response.status, token: body.token ?? null }
}

/** A request signed by Instagram with the app's secret. */
export function signedRequest(payload: object, secret = 'a-secret-of-the-instagram-app'): string {
  const text = Buffer.from(JSON.stringify(payload)).toString('base64url')
  return `${createHmac('sha256', secret).update(text).digest('base64url')}.${text}`
}

/** Sends a request with these headers; returns its answer for comparison. */
export async function ask(agent: Fetching, path: string, asked: Asked = {}): Promise<Answered> {
  const response = await agent.fetch(path, asked)
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() }
}

/** Runs the script as a page does, and returns the value of `name`. */
export function runScript(script: string, name: string): { value: unknown; descriptor: PropertyDescriptor | undefined } {
  const page: Record<string, unknown> = {}
  new Function('globalThis', script)(page)
  return { value: page[name], descriptor: Object.getOwnPropertyDescriptor(page, name) }
}
