import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { shortDigest } from '../../src/core/digest.ts'
import { createChannelStore } from '../../src/storage/channel-store.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { inDays, type Kept, MIGRATIONS, tokenOf } from '../support/accounts.ts'
import { launchBrowser } from '../support/browser.ts'
import { startInstagram } from '../support/instagram.ts'
import { type OpenAgent, openAgent, PASSWORD } from '../support/owner.ts'
import { proxyTo, startSites } from '../support/sites.ts'
import { type Teardown, tempFolder } from '../support/temp-folder.ts'

export const AGENT = 'https://token.mossandclay.example'

const well = (times: number): string[] => Array<string>(times).fill('ok')

/** A working account, one whose refreshes fail, one that needs its owner, and one without a token. */
export const SOME: readonly Kept[] = [
  {
    name: 'default',
    username: 'mossandclay',
    providerUserId: '17841400000000001',
    attempts: [...well(31), 'Instagram did not answer in time.', ...well(14)],
  },
  {
    name: 'studio',
    username: 'moss.studio',
    providerUserId: '17841400000000003',
    issuedAt: inDays(-48),
    expiresAt: inDays(12),
    lastRefreshAt: inDays(-48),
    nextRefreshAt: inDays(0.12),
    failureCount: 9,
    lastErrorCode: 'transient',
    lastError: 'Instagram answered with an error of its own (500).',
    attempts: [
      ...well(20),
      ...Array<string>(9).fill('Instagram answered with an error of its own (500). The present token is still served.'),
    ],
    everyDays: 1,
    agoDays: 0.1,
  },
  {
    name: 'workshop',
    username: 'clay.workshop',
    providerUserId: '17841400000000005',
    state: 'reconnect',
    issuedAt: inDays(-30),
    expiresAt: inDays(30),
    lastRefreshAt: inDays(-30),
    nextRefreshAt: inDays(0.6),
    failureCount: 2,
    refusedAt: inDays(-1),
    lastErrorCode: 'reconnect',
    lastError: 'Instagram refuses the token: its user changed the password.',
    attempts: [...well(12), 'Instagram refuses the token: its user changed the password.'],
  },
]

export interface OwnersAgent {
  readonly agent: OpenAgent
  readonly browser: Browser
  /** A context of the signed-in owner. */
  signIn(options?: Parameters<Browser['newContext']>[0]): Promise<BrowserContext>
}

const HOOK = 'https://hooks.slack.com/services/T00000000/B00000000/no-such-webhook'
const CHANNELS = {
  webhook: { address: HOOK, env: { ALERT_WEBHOOK_URL: HOOK } },
  email: {
    address: 'smtp  mail.example 587 shop@example.com',
    env: { SMTP_URL: 'smtp://mail.example:587', ALERT_EMAIL_TO: 'shop@example.com' },
  },
} as const
const HOOK_GONE = 'The alert was not delivered: the webhook answered with HTTP 404: it may have been deleted, so make a new one.'

/** How the last message of each channel went: `arrived`, `untried`, or the sentence why it did not arrive. */
type Deliveries = Readonly<Partial<Record<'webhook' | 'email', string>>>

/** What `/setup` and `/status` can show of configured channels. */
export const ALERTS: Readonly<Record<string, Deliveries>> = {
  untried: { webhook: 'untried' },
  arrived: { webhook: 'arrived' },
  failed: { webhook: HOOK_GONE },
  'one-of-two': { webhook: HOOK_GONE, email: 'arrived' },
}

/** Stores the outcomes before the start, so that no message is sent then. Returns the channels' variables. */
async function keepDeliveries(cwd: string, deliveries: Deliveries): Promise<Record<string, string>> {
  const db = await openSqlite(join(cwd, 'data/token-agent.sqlite'))
  await migrate(db, MIGRATIONS)
  const store = createChannelStore(db)
  for (const kind of ['webhook', 'email'] as const) {
    const address = { kind, target: shortDigest(CHANNELS[kind].address) }
    const outcome = deliveries[kind]
    // Another instance is about to send the first message.
    if (outcome === 'untried') await store.claimFirst(address, 3600)
    else if (outcome !== undefined) await store.saveDelivery(address, outcome === 'arrived' ? null : outcome)
  }
  await db.close()
  return Object.assign({}, ...Object.keys(deliveries).map((kind) => CHANNELS[kind as keyof Deliveries].env))
}

/** A browser for the agents of a whole file. It reaches the one that was started last. */
export interface OwnersBrowser {
  readonly browser: Browser
  show(agentUrl: string): void
}

export async function openOwnersBrowser(t: Teardown): Promise<OwnersBrowser> {
  let shown: RequestListener = (_, response) => void response.destroy()
  const sites = await startSites(t, { [new URL(AGENT).host]: (request, response) => shown(request, response) })
  return {
    browser: await launchBrowser(t, 'chromium', sites),
    show(agentUrl) {
      shown = proxyTo(agentUrl)
    },
  }
}

interface Options {
  readonly env?: Record<string, string>
  readonly alerts?: Deliveries
  /** Unset = a browser of its own. */
  readonly within?: OwnersBrowser
}

export async function startOwnersAgent(
  t: Teardown,
  accounts: readonly Kept[],
  { env = {}, alerts = {}, within }: Options = {},
): Promise<OwnersAgent> {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  // The provider has a picture of each account with a user id.
  for (const { name, providerUserId } of accounts) if (providerUserId) instagram.issue({ token: tokenOf(name), userId: providerUserId })
  const cwd = tempFolder(t, 'agent')
  const channels = await keepDeliveries(cwd, alerts)
  const settings = { APP_URL: AGENT, ALLOWED_DOMAINS: 'www.mossandclay.example', ...channels, ...env }
  const agent = await openAgent(t, { instagram, accounts, cwd, env: settings })
  const { browser, show } = within ?? (await openOwnersBrowser(t))
  show(`http://127.0.0.1:${await agent.listen()}`)
  t.teardown(() => Promise.all(browser.contexts().map((context) => context.close())))
  return {
    agent,
    browser,
    async signIn(options) {
      const context = await browser.newContext(options)
      const tab = await context.newPage()
      await tab.goto(`${AGENT}/admin/sign-in`)
      await tab.getByLabel('Password').fill(PASSWORD)
      await tab.keyboard.press('Enter')
      await tab.waitForURL(`${AGENT}/admin`)
      await tab.close()
      return context
    },
  }
}

/** Loads all pictures, including those below the fold; returns the addresses of broken ones. */
export async function loadPictures(tab: Page): Promise<string[]> {
  const broken = await tab.evaluate<(string | null)[]>(`Promise.all([...document.images].map((one) => {
    one.loading = 'eager'
    return one.decode().then(() => null, () => one.src)
  }))`)
  return broken.filter((src) => src !== null)
}
