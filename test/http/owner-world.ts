import { createHmac } from 'node:crypto'
import type { Test } from 'tap'
import { type Agent, type AgentOptions, startAgent } from '../support/agent.ts'
import { freePort } from '../support/free-port.ts'
import { type Instagram, startInstagram } from '../support/instagram.ts'
import type { Knobs } from '../support/instagram-knobs.ts'
import { type Answer, type Client, createClient } from './owner-client.ts'

export const PASSWORD = 'a password for the owner'

export interface OwnerWorld {
  readonly instagram: Instagram
  readonly agent: Agent
  readonly owner: Client
  readonly redirectUri: string
}

export interface WorldOptions {
  knobs?: Partial<Knobs>
  env?: Record<string, string>
  agent?: AgentOptions
}

/** An agent, Instagram, and an owner who is signed in. */
export async function createOwnerWorld(t: Test, { knobs = {}, env = {}, agent: options = {} }: WorldOptions = {}): Promise<OwnerWorld> {
  const instagram = await startInstagram({ knobs })
  t.teardown(() => instagram.close())
  const port = options.port ?? (await freePort())
  const appUrl = env['APP_URL'] ?? `http://127.0.0.1:${port}`
  const agent = await startAgent(t, { ready: '/readyz', ...options, port, env: { ...settingsFor(instagram), APP_URL: appUrl, ...env } })
  const redirectUri = `${appUrl}/connect/instagram/callback`
  instagram.apps[0]?.redirectUris.push(redirectUri)
  const owner = createClient(agent.url)
  const { status } = await owner.signIn(PASSWORD)
  if (status !== 303) throw new Error(`the owner could not sign in: ${status}`)
  return { instagram, agent, owner, redirectUri }
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

/** The address at the provider that the page leads to. */
export function authorizeUrlIn(answer: Answer): string {
  return (/<a href="([^"]+)" rel="noreferrer">/.exec(answer.text)?.[1] ?? '').replaceAll('&amp;', '&')
}

/** What the provider sends the browser back to, as a path of the agent. */
export async function approve(authorizeUrl: string): Promise<string> {
  const { headers } = await fetch(authorizeUrl, { redirect: 'manual' })
  const target = new URL(headers.get('location') ?? '')
  return target.pathname + target.search
}

/** The whole trip; the answer of the callback. */
export async function connect(client: Client, account = 'default'): Promise<Answer> {
  const page = await client.post('/connect/instagram', { account })
  return client.get(await approve(authorizeUrlIn(page)))
}

export async function served(
  agent: Agent,
  path = '/token.json',
  origin = 'https://shop.example',
): Promise<{ status: number; token: string | null }> {
  const response = await agent.fetch(path, { headers: { origin } })
  const body = (await response.json()) as { token?: string }
  return { status: response.status, token: body.token ?? null }
}

/** What Instagram signs with the app's secret. */
export function signedRequest(payload: object, secret = 'a-secret-of-the-instagram-app'): string {
  const text = Buffer.from(JSON.stringify(payload)).toString('base64url')
  return `${createHmac('sha256', secret).update(text).digest('base64url')}.${text}`
}
