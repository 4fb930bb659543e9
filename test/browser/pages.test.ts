import { readFileSync } from 'node:fs'
import type { Browser, BrowserContext, Page, Response } from 'playwright-core'
import t, { type Test } from 'tap'
import { inDays, type Kept } from '../support/accounts.ts'
import { PASSWORD } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { waitFor } from '../support/wait-for.ts'
import { words } from '../support/words.ts'
import { AGENT, ALERTS, loadPictures, type OwnersAgent, openOwnersBrowser, SOME, startOwnersAgent } from './owners-agent.ts'

const skip = missing('chromium', 'openssl')
const AXE = readFileSync(new URL(import.meta.resolve('axe-core/axe.min.js')), 'utf8')
const MAX_BYTES = 30 * 1024
const within = skip ? undefined : await openOwnersBrowser(t)
const start: typeof startOwnersAgent = (t, accounts, options) => startOwnersAgent(t, accounts, { ...options, ...(within && { within }) })
const PUBLIC = ['/', '/setup', '/status', '/admin/sign-in', '/no-such-page']
const OWN = words`
  / /?account=studio /setup /status /status?show=attention /status?name=nobody /admin /admin?name=work /admin/accounts/default
  /admin/accounts/workshop /admin/accounts/default/history /admin/history /connect/instagram /admin/accounts/no-such-account
`

type Look = NonNullable<Parameters<Browser['newContext']>[0]>
const LOOKS: Look[] = [
  { viewport: { width: 320, height: 640 }, colorScheme: 'light' },
  { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
]
const nameOf = ({ viewport, colorScheme }: Look): string => `${viewport?.width} px, ${colorScheme}`

/** Collects console errors, policy violations and layout shifts of a page. */
async function watch(context: BrowserContext): Promise<{ tab: Page; complaints: string[] }> {
  const tab = await context.newPage()
  const complaints: string[] = []
  tab.on('console', (message) => void (message.type() === 'error' && complaints.push(message.text())))
  tab.on('pageerror', (error) => void complaints.push(String(error)))
  await tab.addInitScript(`
    globalThis.shift = 0
    globalThis.violations = []
    new PerformanceObserver((list) => { for (const { value } of list.getEntries()) shift += value }).observe({ type: 'layout-shift', buffered: true })
    addEventListener('securitypolicyviolation', ({ violatedDirective }) => violations.push(violatedDirective))
  `)
  return { tab, complaints }
}

interface Violation {
  readonly id: string
  readonly nodes: { html: string; failureSummary: string }[]
}

/** Runs axe-core through the debugger, which the page's policy does not stop. */
async function axe(tab: Page): Promise<string[]> {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa', 'best-practice']
  await tab.evaluate(`${AXE};undefined`)
  const found = await tab.evaluate<Violation[]>(
    `axe.run(document, { runOnly: ${JSON.stringify(tags)} }).then(({ violations }) => violations)`,
  )
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`)
}

interface Measured {
  readonly shift: number
  readonly violations: string[]
  readonly wide: number
  readonly small: string[]
}

// WCAG 2.2, 2.5.8: 24 by 24 CSS pixels, text within a sentence excepted.
const MEASURE = `({
  shift,
  violations,
  wide: document.documentElement.scrollWidth - innerWidth,
  small: [...document.querySelectorAll('button, input:not([type=hidden]), select, summary, nav a')].filter((one) => {
    const { width, height } = one.getBoundingClientRect()
    return width > 0 && (width < 24 || height < 24)
  }).map((one) => one.outerHTML),
})`

async function inspect(t: Test, context: BrowserContext, paths: readonly string[], look: string): Promise<void> {
  const { tab, complaints } = await watch(context)
  for (const path of paths) {
    const where = `${path} (${look})`
    await tab.goto(AGENT + path)
    await tab.evaluate('new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))')
    t.strictSame(await loadPictures(tab), [], `${where}: every picture loads`)
    const measured = await tab.evaluate<Measured>(MEASURE)
    t.strictSame(await axe(tab), [], `${where}: axe-core finds nothing`)
    t.strictSame(measured.violations, [], `${where}: no violation of its policy`)
    t.ok(measured.shift < 0.01, `${where}: nothing moves (${measured.shift})`)
    t.ok(measured.wide <= 0, `${where}: no scrolling sideways (${measured.wide} px)`)
    t.strictSame(measured.small, [], `${where}: every target is large enough`)
    // The browser logs an error for each answer that is not 200.
    const own = complaints.splice(0).filter((line) => !/status of 404/.test(line))
    t.strictSame(own, [], `${where}: no complaint`)
  }
  await tab.close()
}

t.test('every page is accessible, signed out and in, narrow in light and wide in dark', { skip }, async (t) => {
  const { browser, signIn } = await start(t, SOME)
  for (const look of LOOKS) {
    const stranger = await browser.newContext(look)
    await inspect(t, stranger, PUBLIC, nameOf(look))
    await stranger.close()
    const owner = await signIn(look)
    await inspect(t, owner, OWN, `owner, ${nameOf(look)}`)
    await owner.close()
  }
})

t.test('so are the first steps, and long, emoji and right-to-left names', { skip }, async (t) => {
  const fresh = await start(t, [], { env: { ALLOWED_DOMAINS: '', INSTAGRAM_APP_ID: '', INSTAGRAM_APP_SECRET: '' } })
  const look = LOOKS[0] ?? {}
  await inspect(t, await fresh.browser.newContext(look), ['/', '/setup', '/status'], 'fresh')
  await inspect(t, await fresh.signIn(look), ['/', '/setup', '/status', '/admin'], 'fresh, owner')
  const odd = await start(t, ODD)
  await inspect(t, await odd.signIn(look), ['/status', '/admin', `/admin/accounts/${'a'.repeat(40)}`, '/setup'], 'odd names')
})

t.test('so is each state of the alerts, also with all ways open', { skip }, async (t) => {
  for (const [n, [state, alerts]] of Object.entries({ none: {}, ...ALERTS }).entries()) {
    const { signIn } = await start(t, SOME, { alerts })
    const look = LOOKS[n % LOOKS.length] ?? {}
    const owner = await signIn(look)
    const tested = `/setup?tested=${state === 'arrived' ? state : 'failed'}`
    await inspect(t, owner, [tested, '/status'], `alerts ${state}, ${nameOf(look)}`)
    const tab = await owner.newPage()
    await tab.goto(AGENT + tested)
    await tab.evaluate(`document.querySelectorAll('#step-alerts details').forEach((one) => { one.open = true })`)
    t.strictSame(await axe(tab), [], `${state}, open`)
    t.ok((await tab.evaluate<number>('document.documentElement.scrollWidth - innerWidth')) <= 0, `${state}, open: no scrolling sideways`)
  }
})

t.test('without script the keyboard opens a way to alerts and sends a test message', { skip }, async (t) => {
  const { signIn } = await start(t, [], { env: { ALERT_WEBHOOK_URL: 'https://alerts.invalid/hook' } })
  const signedIn = await signIn()
  const context = await signedIn.browser()?.newContext({ javaScriptEnabled: false })
  if (context === undefined) throw new Error('no browser')
  await context.addCookies(await signedIn.cookies())
  const tab = await context.newPage()
  await tab.goto(`${AGENT}/setup`)
  await tab.locator('#step-alerts summary').press('Enter')
  t.ok(await tab.getByText('smtp://you%40gmail.com').isVisible())
  await tab.getByRole('button', { name: 'Send a test message' }).press('Enter')
  await tab.waitForURL(`${AGENT}/setup?tested=failed#step-alerts`)
  t.match(await tab.locator('#step-alerts').textContent(), /did not arrive everywhere.*Webhook.*The alert was not delivered/s)
})

const ODD: Kept[] = [
  { name: 'a'.repeat(40), username: 'w'.repeat(300), lastErrorCode: 'reconnect', state: 'reconnect', lastError: 'x'.repeat(400) },
  { name: 'emoji', username: '👩🏽‍🎨🧵🪡✨' },
  { name: 'rtl', username: 'متجر_الطين \u202e evil' },
  { name: 'markup', username: '<img src=x onerror=alert(1)>&amp;"\'' },
  { name: 'expired', expiresAt: inDays(-1), issuedAt: inDays(-61) },
  { name: 'new', token: null, issuedAt: null, expiresAt: null, nextRefreshAt: null, state: 'unverified', username: null },
]

t.test('each copy button is named for its content', { skip }, async (t) => {
  const owners = await start(t, SOME)
  const tab = await (await owners.signIn()).newPage()
  for (const path of ['/', '/setup', '/admin', '/admin/accounts/default']) {
    await tab.goto(AGENT + path)
    const names = await tab.$$eval('button.copy', (all) => all.map((one) => one.getAttribute('aria-label') ?? ''))
    t.ok(path === '/admin' || names.length > 0, path)
    t.strictSame(names, [...new Set(names)], `${path}: no two alike`)
    t.notMatch(names.join('; '), /Copy the code(;|$)|Copy $/, path)
  }
})

t.test('with text of twice the size no page scrolls sideways on a phone', { skip }, async (t) => {
  const owners = await start(t, SOME)
  const [narrow, usual] = [{ viewport: { width: 320, height: 640 } }, { viewport: { width: 390, height: 844 } }]
  for (const [context, paths] of [
    [await owners.browser.newContext(usual), PUBLIC],
    [await owners.signIn(usual), OWN],
    [await owners.signIn(narrow), OWN],
  ] as const) {
    const tab = await context.newPage()
    for (const path of paths) {
      await tab.goto(AGENT + path)
      // Like “text only” zoom: media queries do not see it.
      await tab.evaluate("document.documentElement.style.fontSize = '200%'")
      const wide = await tab.evaluate(`[...document.querySelectorAll('body *')].filter((one) => !one.closest('pre, .scroll, svg, .vh')
        && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.tagName + '.' + one.className + ' ' + one.textContent.trim().slice(0, 30))`)
      t.strictSame(wide, [], path)
      t.ok((await tab.evaluate<number>('document.documentElement.scrollWidth - innerWidth')) <= 0, path)
    }
    await context.close()
  }
})

t.test('a page is under 30 KB, without the owner’s pictures', { skip }, async (t) => {
  const { browser, signIn } = await start(t, SOME)
  const signedIn = await signIn()
  const storageState = await signedIn.storageState()
  for (const [cookies, paths] of [
    [{}, PUBLIC],
    [{ storageState }, OWN],
  ] as const) {
    const context = await browser.newContext(cookies)
    for (const path of paths) {
      const tab = await context.newPage()
      // As in a new browser: nothing comes from a cache.
      await (await context.newCDPSession(tab)).send('Network.setCacheDisabled', { cacheDisabled: true })
      const responses: Response[] = []
      tab.on('response', (response) => void responses.push(response))
      await tab.goto(AGENT + path)
      t.strictSame(await loadPictures(tab), [])
      const accounts = await tab.locator('.avatar').count()
      // The page, its style, its script, its logo, and each account's picture or letter.
      await waitFor('all of it to have come', () => responses.length >= 4 + accounts)
      // A letter is the agent's own and counts. A picture does not: Instagram sets its size (256 KB at most), and it loads
      // once a day when it comes into view.
      const pictures = responses.filter((response) => response.headers()['content-type'] === 'image/png')
      const letters = responses.filter((response) => response.url().includes('/picture') && !pictures.includes(response))
      if (paths === OWN && ['/status', '/admin'].includes(path)) t.strictSame([pictures.length, letters.length], [2, 1], path)
      const counted = responses.filter((response) => !pictures.includes(response))
      const sizes = await Promise.all(counted.map((response) => response.request().sizes()))
      const bytes = sizes.reduce((sum, { responseBodySize }) => sum + responseBodySize, 0)
      t.ok(bytes > 1000 && bytes < MAX_BYTES, `${path}: ${bytes} bytes`)
      await tab.close()
    }
    await context.close()
  }
})

t.test('the keyboard alone skips the navigation, signs in and copies a value', { skip }, async (t) => {
  const { browser } = await start(t, [], { env: { ALLOWED_DOMAINS: '' } })
  const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] })
  const tab = await context.newPage()
  const focused = (): Promise<string> =>
    tab.evaluate(`document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent`)
  await tab.goto(`${AGENT}/setup`)
  await tab.keyboard.press('Tab')
  t.equal(await focused(), 'Skip to the content')
  t.ok(await tab.evaluate(`document.querySelector('.skip').getBoundingClientRect().top >= 0`), 'it is visible')
  await tab.keyboard.press('Enter')
  t.equal(await tab.evaluate(`document.activeElement.id`), 'main')
  for (let presses = 0; (await focused()) !== 'Copy STARTING_TOKEN' && presses < 40; presses++) {
    await tab.keyboard.press('Tab')
    const outline = await tab.evaluate(`getComputedStyle(document.activeElement).outlineStyle`)
    t.not(outline, 'none', `focus is visible on ${await focused()}`)
  }
  await tab.keyboard.press('Enter')
  await waitFor('the value to be copied', async () => (await tab.evaluate(`navigator.clipboard.readText()`)) === 'STARTING_TOKEN')
  t.match(await tab.locator('[role=status].vh').textContent(), 'Copied STARTING_TOKEN')

  await tab.goto(`${AGENT}/admin/sign-in`)
  await waitFor('the field to have the focus', () => tab.evaluate(`document.activeElement.id === 'password'`))
  await tab.keyboard.type(PASSWORD)
  await tab.keyboard.press('Enter')
  await tab.waitForURL(`${AGENT}/admin`)
  t.equal(await tab.locator('nav [aria-current]').textContent(), 'Accounts')
})

t.test('without JavaScript every page works, and times are in UTC', { skip }, async (t) => {
  const { signIn } = await start(t, SOME)
  const signedIn = await signIn()
  const context = await signedIn.browser()?.newContext({ javaScriptEnabled: false, timezoneId: 'Asia/Tokyo' })
  if (context === undefined) throw new Error('no browser')
  await context.addCookies(await signedIn.cookies())
  const tab = await context.newPage()
  await tab.goto(`${AGENT}/status`)
  t.match(await tab.locator('main').textContent(), /1 of your 3 accounts needs you/)
  t.match(await tab.locator('time').first().textContent(), /^\d{1,2} \w{3,4} \d{4}, \d\d:\d\d UTC$/)
  await tab.getByText('The last 29 attempts').click()
  t.match(await tab.locator('#attempts-studio').textContent(), /9 times.*error of its own/s)
  await tab.getByRole('link', { name: 'Show it' }).click()
  t.equal(await tab.locator('article').count(), 1)
  await tab.goto(`${AGENT}/admin?name=WORK`)
  t.equal(await tab.locator('.accounts > li').count(), 1)
  await tab.goto(`${AGENT}/?account=studio`)
  t.match(await tab.locator('pre').first().textContent(), '<token-agent-feed account="studio"')
  await tab.getByLabel('The account').selectOption('workshop')
  await tab.getByRole('button', { name: 'Show its code' }).click()
  t.match(await tab.locator('pre').first().textContent(), '<token-agent-feed account="workshop"')
  t.equal(await tab.locator('button.copy').count(), 0, 'no button without a function')
})

t.test('the status page refreshes itself, in the reader’s time zone, and keeps open details and focus', { skip }, async (t) => {
  const world: OwnersAgent = await start(t, SOME)
  const context = await world.signIn({ timezoneId: 'Asia/Tokyo', locale: 'en-GB' })
  const tab = await context.newPage()
  await tab.clock.install()
  await tab.goto(`${AGENT}/status`)
  t.match(await tab.locator('time').first().textContent(), /GMT\+9|JST/)
  const hovered = await tab.locator('.strip title').first().textContent()
  t.match(hovered, /^\d.*(GMT\+9|JST): The token was refreshed/, 'the text on hover')
  await tab.locator('#attempts-studio summary').click()
  await tab.locator('#attempts-studio summary').focus()
  await tab.evaluate(`document.querySelector('article').setAttribute('data-old', '')`)
  await world.agent.fetch('/token.json', { headers: { origin: 'https://www.mossandclay.example' } })
  await tab.clock.fastForward(31_000)
  await waitFor('the new page to be shown', async () => (await tab.locator('[data-old]').count()) === 0)
  t.equal(await tab.locator('#attempts-studio').getAttribute('open'), '')
  t.equal(await tab.evaluate(`document.activeElement.parentElement.id`), 'attempts-studio')
  t.match(await tab.locator('time').first().textContent(), /GMT\+9|JST/)
  t.equal(await tab.locator('.stale').isVisible(), false)

  await world.agent.close()
  await tab.clock.fastForward(31_000)
  await waitFor('the page to say that it is old', () => tab.locator('.stale').isVisible())
})
