import type { Test } from 'tap'
import { type Agent, startAgent } from '../support/agent.ts'
import { freePort } from '../support/free-port.ts'
import { startInstagram } from '../support/instagram.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { ENCRYPTION_KEY, type Kept, keepAccounts } from './many-accounts.ts'
import { type Client, createClient } from './owner-client.ts'
import { PASSWORD, settingsFor } from './owner-world.ts'

export const HTML = { accept: 'text/html' }
const PAGES = [
  '/',
  '/setup',
  '/status',
  '/admin',
  '/admin/sign-in',
  '/admin/accounts/default',
  '/admin/history',
  '/connect/instagram',
  '/nothing',
]
/** Of the words that a template shows where it was given nothing. */
const HOLES = /\bundefined\b|\bnull\b|\bNaN\b|\[object|Invalid Date|\[secret\]/

export interface World {
  readonly agent: Agent
  readonly owner: Client
  readonly stranger: Client
  readonly instagram: Awaited<ReturnType<typeof startInstagram>>
}

export async function start(t: Test, accounts: readonly Kept[], env: Record<string, string> = {}): Promise<World> {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const cwd = tempFolder(t, 'faults')
  if (env['DATABASE_URL'] === undefined) await keepAccounts(cwd, accounts)
  const port = await freePort()
  const settings = { ...settingsFor(instagram), ENCRYPTION_KEY, APP_URL: `http://127.0.0.1:${port}`, ...env }
  const agent = await startAgent(t, { cwd, port, ready: '/readyz', env: settings })
  const owner = createClient(agent.url)
  t.match(await owner.signIn(PASSWORD), { status: 303 })
  return { agent, owner, stranger: createClient(agent.url), instagram }
}

/** Each page, by each visitor: an answer in HTML, whole, without holes, with words for what is wrong. */
export async function look(t: Test, { owner, stranger }: World, statuses: number[] = [200, 303, 404]): Promise<void> {
  for (const [who, client] of Object.entries({ owner, stranger })) {
    for (const path of PAGES) {
      const { status, headers, text, location } = await client.get(path, HTML)
      t.ok(statuses.includes(status), `${who} ${path}: ${status}`)
      if (location !== null) continue
      t.match(headers.get('content-type'), 'text/html', `${who} ${path}`)
      t.match(text, /<main.*<h1>.*<\/main>.*<\/html>/s, `${who} ${path} is whole`)
      t.notMatch(text.replace(/<pre[\s\S]*?<\/pre>/g, ''), HOLES, `${who} ${path} has no holes`)
    }
  }
}

/** What is counted for everybody is counted anew each second or so. */
export const soon = (client: Client, path: string, words: RegExp): Promise<unknown> =>
  waitFor(`${path} to say ${words}`, async () => words.test(await page(client, path)), { everyMs: 250 })

export const DEFAULT: Kept = { name: 'default', username: 'shop' }
export const page = async (client: Client, path: string): Promise<string> => (await client.get(path, HTML)).text.replace(/\s+/g, ' ')
