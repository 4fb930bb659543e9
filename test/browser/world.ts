import { readFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import type { Browser, Page as Tab } from 'playwright-core'
import { type BrowserName, launchBrowser } from '../support/browser.ts'
import { openServing, type Serving } from '../support/owner.ts'
import { type Page, pages, proxyTo, type Sites, startSites } from '../support/sites.ts'
import type { Teardown } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { launchWebKit, type WebKit } from '../support/webkit.ts'

export const ALLOWED = 'https://shop.example'
export const HOSTILE = 'https://evil.example'
export const INSTAFEED = javascript(read('../../node_modules/instafeed.js/dist/instafeed.min.js'))

export interface World extends Serving {
  /** Where the agent listens, for those that do not know the sites. */
  readonly address: string
  browser(name: BrowserName): Promise<Browser>
  /** What a browser of its own may reach. */
  readonly sites: Sites
  /** Path and status of all answers of the agent. */
  readonly seen: readonly string[]
  /** WebKit, which reaches only the sites too. */
  webkit(): Promise<WebKit>
  /** Opens the page in this browser and waits until it makes no more requests, and for this outcome. */
  open(name: BrowserName, site: string, path: string, outcome?: Outcome): Promise<Visit>
}

/** On a busy machine a page may pause between requests. */
interface Outcome {
  /** The number of the agent's answers, or their beginnings; 1 by default. */
  answers?: number | readonly string[]
  /** An expression that becomes true in the page. */
  page?: string
}

export interface Visit {
  readonly tab: Tab
  /** Path and status of the agent's answers since this page was opened; the page itself cannot see blocked ones. */
  readonly answers: readonly string[]
  close(): Promise<void>
}

interface WorldOptions {
  env?: Record<string, string>
  /** Browsers reach none of Meta's hosts, as with a tracker blocker; the agent does. */
  metaIsDead?: boolean
}

/** An allowed and a hostile site with the same pages, the agent, and Instagram, all over https. */
export async function startWorld(
  t: Teardown,
  byPath: Record<string, string | Page>,
  { env = {}, metaIsDead = false }: WorldOptions = {},
): Promise<World> {
  const serving = await openServing(t, env)
  const site = pages(byPath)
  // A complete image, so that the test can see whether it loads.
  const picture: RequestListener = ({ url }, response) => {
    if (url?.endsWith('.mp4')) return void response.writeHead(200, { 'content-type': 'video/mp4' }).end()
    response.writeHead(200, { 'content-type': 'image/svg+xml' }).end('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
  }
  const seen: string[] = []
  let answers: string[] = []
  const address = `http://127.0.0.1:${await serving.agent.listen()}`
  const agent = proxyTo(address)
  const watched: RequestListener = (request, response) => {
    const list = answers
    response.on('finish', () => {
      for (const one of [list, seen]) one.push(`${request.url} ${response.statusCode}`)
    })
    agent(request, response)
  }
  const sites = await startSites(t, {
    'shop.example': site,
    'evil.example': site,
    'agent.example': watched,
    ...(metaIsDead ? {} : { 'graph.instagram.com': proxyTo(serving.instagram.url), 'scontent.cdninstagram.com': picture }),
  })
  const launched: Partial<Record<BrowserName, Promise<Browser>>> = {}
  const browser = (name: BrowserName) => {
    launched[name] ??= launchBrowser(t, name, sites)
    return launched[name]
  }
  let webkit: Promise<WebKit> | undefined
  return {
    ...serving,
    address,
    sites,
    seen,
    browser,
    webkit() {
      webkit ??= launchWebKit(t, sites)
      return webkit
    },
    async open(name, site, path, { answers: enough = 1, page = 'true' } = {}) {
      answers = []
      const mine = answers
      // A new context for each visit: the cache has nothing from the other site's visit.
      const context = await (await browser(name)).newContext({ ignoreHTTPSErrors: true })
      const tab = await context.newPage()
      // Firefox does not always tell that a page of many frames is idle.
      await tab.goto(site + path, { waitUntil: typeof enough === 'number' ? 'networkidle' : 'commit' })
      const isIn = (begin: string): boolean => mine.some((answer) => answer.startsWith(begin))
      const all = (): boolean => (typeof enough === 'number' ? mine.length >= enough : enough.every(isIn))
      await waitFor(`${page} and the answers ${enough} to ${site}${path} in ${name}`, async () => all() && (await tab.evaluate(page)))
      return { tab, answers: mine, close: () => context.close() }
    },
  }
}

/** The snippets of the agent's page `/`, by name, as a reader copies them. */
export async function copySnippets({ browser }: World, query = ''): Promise<Record<string, string>> {
  const tab = await (await browser('chromium')).newPage()
  await tab.goto(`https://agent.example/${query}`)
  const found = await tab.$$eval('pre[data-snippet]', (all) => all.map((pre) => [pre.getAttribute('data-snippet'), pre.textContent]))
  await tab.close()
  return Object.fromEntries(found)
}

export function read(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8')
}

export function javascript(body: string) {
  return { type: 'text/javascript', body }
}
