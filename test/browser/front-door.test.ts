import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { launchBrowser } from '../support/browser.ts'
import { openAgent, PASSWORD } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { pages, proxyTo, startSites } from '../support/sites.ts'

const skip = missing('chromium', 'openssl')
const AGENT = 'https://agent.example'
const USER = '17841400379535405'
const PHONE = { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true }

/** A new agent without an account, Instagram, and a shop, over https. */
async function setUp(t: Test) {
  const env = { APP_URL: AGENT, ALLOWED_DOMAINS: '', INSTAGRAM_WEB_URL: 'https://www.instagram.example' }
  const agent = await openAgent(t, { env, knobs: { consent: 'page', signedInAs: USER } })
  const shop = { body: '' }
  const sites = await startSites(t, {
    'agent.example': proxyTo(`http://127.0.0.1:${await agent.listen()}`),
    'www.instagram.example': proxyTo(agent.instagram.url),
    'shop.example': (request, response) => pages({ '/': shop.body })(request, response),
  })
  const browser = await launchBrowser(t, 'chromium', sites)
  return { agent, shop, browser, instagram: agent.instagram }
}

/** Counts what a person does with a thumb, and the pages that come. Typing counts as none: the field is on the page already. */
function counting(page: Page) {
  const counts = { taps: 0, loads: 0 }
  page.on('request', (request) => {
    if (request.isNavigationRequest() && request.frame() === page.mainFrame() && request.redirectedFrom() === null) counts.loads++
  })
  const tap = (what: Locator): Promise<void> => {
    counts.taps++
    return what.tap()
  }
  return { counts, tap }
}

const ROUTES: Record<string, (page: Page, tap: (what: Locator) => Promise<void>, token: string) => Promise<void>> = {
  'a pasted token': async (page, tap, token) => {
    await tap(page.getByRole('link', { name: 'Sign in to paste it' }))
    await page.getByLabel('Password').fill(PASSWORD)
    await tap(page.getByRole('button', { name: 'Sign in' }))
    await page.waitForURL(`${AGENT}/setup`)
    await page.getByLabel(/Your web site/).fill('shop.example')
    await page.getByLabel(/paste a token/i).fill(token)
    await tap(page.getByRole('button', { name: 'Save the token' }))
  },
  'Instagram, connected': async (page, tap) => {
    await tap(page.getByRole('link', { name: 'Connect Instagram' }))
    await page.getByLabel('Password').fill(PASSWORD)
    await tap(page.getByRole('button', { name: 'Sign in' }))
    await page.waitForURL(`${AGENT}/connect/instagram`)
    await page.getByLabel(/Your web site/).fill('shop.example')
    await tap(page.getByRole('button', { name: 'Connect Instagram' }))
    await page.waitForURL('https://www.instagram.example/**')
    await tap(page.getByRole('button', { name: 'Allow' }))
  },
}

for (const [route, walk] of Object.entries(ROUTES))
  t.test(`${route}: five taps on a phone from /setup to the code that shows the feed`, { skip }, async (t) => {
    const { agent, shop, browser, instagram } = await setUp(t)
    instagram.knobs.postPictures = 'own'
    const context = await browser.newContext({ ...PHONE, permissions: ['clipboard-read', 'clipboard-write'] })
    const page = await context.newPage()
    await page.goto(`${AGENT}/setup`)
    const { counts, tap } = counting(page)
    await walk(page, tap, instagram.issue({ userId: USER }))
    await page.waitForURL(/\/admin\/accounts\/default\?done=/)
    t.match(await page.getByRole('status').first().textContent(), /works|Connected/)
    t.match(await page.locator('.card').first().textContent(), /Works\s*https:\/\/shop\.example/, 'it works, and the page says where')
    t.notOk(await page.getByText('Name of the account').first().isVisible(), 'no name was asked for')
    await tap(page.getByRole('button', { name: 'Copy the feed' }))
    t.ok(counts.taps <= 5 && counts.loads <= 6, JSON.stringify(counts))
    t.comment(JSON.stringify(counts))
    const copied = await page.evaluate<string>('navigator.clipboard.readText()')
    t.ok(await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth'), 'nothing is wider than a phone')

    shop.body = `<!doctype html><title>Shop</title>${copied}`
    const visitor = await (await browser.newContext()).newPage()
    await visitor.goto('https://shop.example/')
    await visitor.locator('token-agent-feed img').nth(11).waitFor()
    t.equal(await visitor.locator('token-agent-feed a[href^="https://www.instagram.com/p/"]').count(), 12, 'the shop shows the posts')
    for (const token of instagram.issued.keys()) t.notMatch(agent.stdout(), token)
  })
