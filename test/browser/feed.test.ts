import { readFileSync } from 'node:fs'
import type { BrowserContextOptions, Page as Tab } from 'playwright-core'
import t, { type Test } from 'tap'
import { createSnippets } from '../../src/http/pages/snippets.ts'
import { BROWSERS, type BrowserName } from '../support/browser.ts'
import { missing } from '../support/services.ts'
import type { Page } from '../support/sites.ts'
import { waitFor } from '../support/wait-for.ts'
import { ALLOWED, HOSTILE, startWorld, type World } from './world.ts'

t.setTimeout(600_000)

const skip = missing('chromium', 'openssl')
const byPath: Record<string, string | Page> = {}
// As with a tracker blocker: no browser reaches a host of Meta's.
const world = skip ? (null as unknown as World) : await startWorld(t, byPath, { metaIsDead: true })
/** In captions and alternative texts; each test meets them. */
const MARKUP = [
  '<img src=https://evil.example/hit onerror="hit = 1">',
  '"><script>hit = 1</script>',
  "' onmouseover='hit = 1' x='",
  '</span></a></li></ul></title></style><iframe src="https://evil.example/hit"></iframe>',
  '<svg onload="hit = 1">',
  'javascript:hit=1',
  '<%= hit = 1 %>{{hit = 1}}',
  '&lt;script&gt;hit = 1&lt;/script&gt;',
]
const TAGGED = ['Cups #Ceramics', 'A plate', 'More #ceramics and #cups', 'Vases #ceramicss, (#Größe) and.#vases!']
if (!skip) Object.assign(world.instagram.knobs, { postPictures: 'own', captions: [...TAGGED, ...MARKUP] })

const AXE = readFileSync(new URL(import.meta.resolve('axe-core/axe.min.js')), 'utf8')
const snippets = createSnippets(new URL('../../views', import.meta.url).pathname)
const PROFILE = '<a href="/us">our posts</a>'
const {
  widget = '',
  frame = '',
  feed: tokenFeed = '',
} = snippets({
  appUrl: 'https://agent.example',
  account: null,
  constantName: 'InstagramToken',
  profile: PROFILE,
})
const [SCRIPT = ''] = widget.split('\n')
const html = (body: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Shop</title><main><h1>Shop</h1>${body}<p id="below">Below</p></main>`
const element = (attributes = ''): string => html(`${TOLD}${SCRIPT}<token-agent-feed ${attributes}>${PROFILE}</token-agent-feed>`)

const TOLD = `<script>told = []; for (const type of ['feed-ready', 'feed-error']) addEventListener(type, ({ detail }) => told.push([type, detail]))</script>`
const inShadow = (expression: string): string =>
  `(() => { const host = document.querySelector('token-agent-feed'), root = host.shadowRoot; return ${expression} })()`
const ASK_FOR_ALL = "(root.querySelectorAll('img').forEach((one) => { one.loading = 'eager' }), root)"
/** The pictures that are there; those far from the window would wait. */
const PICTURES = inShadow(`[...${ASK_FOR_ALL}.querySelectorAll('img')].filter(({ naturalWidth }) => naturalWidth > 0).length`)

async function newTab(t: Test, browser: BrowserName, options: BrowserContextOptions = {}): Promise<Tab> {
  const context = await (await world.browser(browser)).newContext({ ignoreHTTPSErrors: true, ...options })
  t.teardown(() => context.close())
  return context.newPage()
}

/** `hasHeading`: it is a whole page, not one in a frame. */
async function axe(page: Pick<Tab, 'evaluate'>, hasHeading = true): Promise<string[]> {
  await page.evaluate(`${AXE};undefined`)
  const found: { id: string; nodes: { html: string }[] }[] = await page.evaluate(
    `axe.run(document, { rules: { 'page-has-heading-one': { enabled: ${hasHeading} } } }).then(({ violations }) => violations)`,
  )
  return found.map(({ id, nodes }) => `${id} ${nodes[0]?.html}`)
}

/** Opens the page and waits until the element has said how it went. */
async function show(tab: Tab, page: string | Page, site = ALLOWED): Promise<unknown> {
  byPath['/page'] = page
  await tab.goto(`${site}/page`)
  return waitFor('the element to say how it went', () => tab.evaluate('told[0]'))
}

for (const browser of [...BROWSERS, 'webkit'] as const) {
  const absent = skip || (browser === 'webkit' ? missing('webkit', 'xvfb') : missing(browser))
  t.test(
    `in ${browser} element and frame show the posts while Meta’s hosts are dead, where the token’s feed shows none`,
    { skip: absent },
    async (t) => {
      byPath['/frame'] = html(frame)
      byPath['/element'] = html(TOLD + widget)
      byPath['/token'] = html(`<script>said = []; console.error = (...words) => said.push(words.join(' '))</script>${tokenFeed}`)
      const tab = browser === 'webkit' ? await world.webkit() : await newTab(t, browser)
      const from = world.seen.length
      await tab.goto(`${ALLOWED}/frame`)
      await waitFor('the frame, its style and the pictures of its first row', async () => {
        const seen = world.seen.slice(from)
        return ['/feed.html?', '/feed.css?', ...Array(4).fill('/accounts/')].every((begin) => {
          const at = seen.findIndex((one) => one.startsWith(begin) && one.endsWith(' 200'))
          return at >= 0 && seen.splice(at, 1)
        })
      })
      await tab.goto(`${ALLOWED}/element`)
      await waitFor('twelve pictures', async () => (await tab.evaluate(PICTURES)) === 12)
      t.equal(await tab.evaluate('JSON.stringify(told)'), '[["feed-ready",12]]')
      t.equal(await tab.evaluate(inShadow('root.querySelectorAll(\'a[href^="https://www.instagram.com/p/"] > img\').length')), 12)
      t.equal(await tab.evaluate(inShadow("root.querySelectorAll('slot').length")), 0, 'what stands between the tags is hidden')

      await tab.goto(`${ALLOWED}/token`)
      await waitFor('the token’s feed to fail', async () => /is not shown/.test(String(await tab.evaluate('said.join()'))))
      t.notMatch(await tab.evaluate('said.join()'), /on the list/)
      t.equal(await tab.evaluate('document.images.length'), 0)
    },
  )
}

t.test('a page whose policy names the agent alone shows both, with Trusted Types and without a violation', { skip }, async (t) => {
  const tab = await newTab(t, 'chromium')
  const policy =
    `default-src 'none'; script-src https://agent.example 'sha256-x'; connect-src https://agent.example; img-src https://agent.example;
    frame-src https://agent.example; require-trusted-types-for 'script'; trusted-types 'none'`.replaceAll('\n', '')
  const body = html(`${SCRIPT}<token-agent-feed columns="3" ratio="4/5" captions></token-agent-feed>${frame.replace(/ style="[^"]*"/, '')}`)
  byPath['/strict'] = { body, headers: { 'content-security-policy': policy } }
  await tab.addInitScript(
    "violations = []; addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + event.blockedURI))",
  )
  await tab.goto(`${ALLOWED}/strict`)
  await waitFor('twelve pictures', async () => (await tab.evaluate(PICTURES)) === 12)
  const framed = await waitFor('the frame', async () => tab.frames().find((one) => one.url().includes('/feed.html')))
  t.equal(await framed.evaluate('document.querySelectorAll("a > img").length'), 12)
  t.match(await framed.evaluate("getComputedStyle(document.querySelector('.grid')).gridTemplateColumns"), /^(\S+ ){3}\S+$/, 'styled')
  t.equal(await framed.evaluate('String(self.origin)'), 'null', 'it has no access to the agent’s origin')
  t.strictSame(await tab.evaluate('violations'), [])
})

const LOOKS = [
  { viewport: { width: 360, height: 740 }, colorScheme: 'light', direction: 'ltr', columns: 4 },
  { viewport: { width: 1280, height: 900 }, colorScheme: 'dark', direction: 'rtl', columns: 4 },
] as const
for (const { direction, columns, ...look } of LOOKS) {
  t.test(
    `at ${look.viewport.width} px, ${direction}, nothing moves or runs off the side, and axe-core finds nothing`,
    { skip },
    async (t) => {
      const tab = await newTab(t, 'chromium', look)
      await tab.addInitScript(
        "shift = 0; new PerformanceObserver((list) => { for (const { value } of list.getEntries()) shift += value }).observe({ type: 'layout-shift', buffered: true })",
      )
      // The posts come late.
      await tab.route('**/media.json', async (route) => {
        await waitFor('the element to keep its place', () =>
          tab.evaluate(inShadow("root.querySelectorAll('li').length === 12 && host.offsetHeight > 200")),
        )
        const height = await tab.evaluate(inShadow('host.offsetHeight'))
        await route.continue()
        await waitFor('the posts', () => tab.evaluate('told.length'))
        t.equal(await tab.evaluate(inShadow('host.offsetHeight')), height)
      })
      const page = html(TOLD + widget).replace('<html', `<html dir="${direction}"`)
      const dark = '<style>:root { color-scheme: light dark } body { font-family: sans-serif }</style>'
      await show(tab, page.replace('<main>', `${dark}<main>`))
      await waitFor('twelve pictures', async () => (await tab.evaluate(PICTURES)) === 12)
      await tab.evaluate('new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))')
      t.ok((await tab.evaluate<number>('shift')) <= 0.01, `${await tab.evaluate('shift')}`)
      t.equal(await tab.evaluate(inShadow("getComputedStyle(root.querySelector('ul')).gridTemplateColumns.split(' ').length")), columns)
      t.ok((await tab.evaluate<number>('document.documentElement.scrollWidth - innerWidth')) <= 0, 'no scrolling sideways')
      const square =
        "[...root.querySelectorAll('.frame')].every(({ clientWidth, clientHeight }) => clientWidth > 75 && Math.abs(clientWidth - clientHeight) <= 1)"
      t.ok(await tab.evaluate(inShadow(square)), 'tiles of one size')
      t.strictSame(await axe(tab), [])
      await tab.keyboard.press('Tab')
      t.match(await tab.evaluate(inShadow('getComputedStyle(root.activeElement).outlineStyle')), /^(?!none)/, 'a focus ring')
    },
  )
}

t.test('each attribute does what it says, and a change of one is drawn', { skip }, async (t) => {
  const tab = await newTab(t, 'chromium')
  const COUNT = inShadow("root.querySelectorAll('li').length")
  const rows: [attributes: string, expression: string, expected: unknown][] = [
    ['', COUNT, 12],
    ['count="5"', COUNT, 5],
    ['count="0"', COUNT, 12],
    ['count="x" columns="x" ratio="x"', COUNT, 12],
    ['columns="2"', "getComputedStyle(root.querySelector('ul')).gridTemplateColumns.split(' ').length", 2],
    [
      'ratio="4/5" columns="1"',
      "Math.round(100 * root.querySelector('.frame').clientWidth / root.querySelector('.frame').clientHeight)",
      80,
    ],
    ['ratio="expression(1)"', "root.querySelector('.frame').clientWidth === root.querySelector('.frame').clientHeight", true],
    ['only="video"', "[...root.querySelectorAll('.frame')].every((one) => one.classList.contains('video'))", true],
    ['only="image" count="3"', "root.querySelectorAll('.video').length", 0],
    ['tagged="ceramics" count="100"', "[...root.querySelectorAll('img')].every(({ alt }) => /#ceramics( |$)/i.test(alt))", true],
    ['tagged="#CUPS" captions', "root.querySelector('.caption').textContent", 'More #ceramics and #cups'],
    ['tagged="größe" count="100"', COUNT, Math.floor((24 - 4) / 12) + 1],
    ['tagged="vases" count="100"', COUNT, Math.floor((24 - 4) / 12) + 1],
    ['captions', "root.querySelectorAll('li > .caption').length", 12],
    ['', "root.querySelector('a').target + root.querySelector('a').rel", '_blanknoopener'],
    ['target="_self"', "root.querySelector('a').target", '_self'],
    ['account="default"', COUNT, 12],
  ]
  for (const [attributes, expression, expected] of rows) {
    t.match(await show(tab, element(attributes)), ['feed-ready', Number], attributes)
    t.equal(await tab.evaluate(expression.startsWith('(') ? expression : inShadow(expression)), expected, attributes)
  }
  const hidden = element().replace('<token-agent-feed', '<div hidden><token-agent-feed')
  t.match(await show(tab, hidden), ['feed-ready', 12])
  t.equal(
    await tab.evaluate(inShadow("root.querySelector('img').sizes === innerWidth + 'px'")),
    true,
    'a tab that is not open yet gets no tiny pictures',
  )
  await show(tab, element())
  await tab.evaluate(
    "told = []; document.querySelector('token-agent-feed').setAttribute('count', 2); document.querySelector('token-agent-feed').setAttribute('count', 3)",
  )
  await waitFor('the change', async () => (await tab.evaluate('told.length')) === 1)
  await tab.evaluate("const one = document.querySelector('token-agent-feed'); one.remove(); document.body.append(one)")
  await waitFor('the element in its new place', async () => (await tab.evaluate('told.length')) === 2)
  t.strictSame(
    await tab.evaluate('told'),
    [
      ['feed-ready', 3],
      ['feed-ready', 3],
    ],
    'a superseded answer draws nothing',
  )
})

t.test('where there is no feed, what stands between the tags shows, and the console says why', { skip }, async (t) => {
  const tab = await newTab(t, 'chromium')
  const said: string[] = []
  tab.on('console', (message) => void said.push(message.text()))
  const rows: [attributes: string, site: string, reason: RegExp][] = [
    ['', HOSTILE, /https:\/\/evil\.example is not on the list of web sites that may read this feed\. Is it yours\?/],
    ['account="no-such"', ALLOWED, /no account/],
    ['account="A"', ALLOWED, /no account/],
    ...['../admin', 'a/b', '%2e%2e', 'x?y', '.'].map((name): [string, string, RegExp] => [`account="${name}"`, ALLOWED, /No such account/]),
  ]
  for (const [attributes, site, reason] of rows) {
    said.length = 0
    const from = world.seen.length
    t.match(await show(tab, element(attributes), site), ['feed-error', reason], attributes)
    t.match(
      said.filter((line) => line.startsWith('The feed is not shown:')),
      [reason],
    )
    t.equal(await tab.evaluate("document.querySelector('token-agent-feed a').checkVisibility()"), true)
    t.equal(await tab.evaluate(inShadow("root.querySelectorAll('li').length")), 0, 'no hole is left')
    t.notOk(world.seen.slice(from).some((one) => !/^\/(feed\.js|media\.json|accounts\/(no-such|A)\/media\.json) /.test(one)))
  }
  for (const status of [200, 502]) {
    await tab.route('**/media.json', (route) => route.fulfill({ status, headers: { 'access-control-allow-origin': '*' }, body: '<html>' }))
    t.strictSame(await show(tab, element()), ['feed-error', `${status}`], 'a host’s own page')
    await tab.unroute('**/media.json')
  }
  await tab.route('**/media.json', (route) =>
    route.fulfill({ json: { data: [], updated: '2026-01-01T00:00:00Z' }, headers: { 'access-control-allow-origin': '*' } }),
  )
  t.strictSame(await show(tab, element()), ['feed-ready', 0])
  t.equal(await tab.evaluate("document.querySelector('token-agent-feed a').checkVisibility()"), true)
})

t.test('the first reader of all waits for the posts', { skip }, async (t) => {
  const tab = await newTab(t, 'chromium')
  await tab.clock.install()
  let asked = 0
  await tab.route('**/media.json', (route) =>
    asked++ < 2
      ? route.fulfill({ status: 503, json: { message: 'Not there yet.' }, headers: { 'access-control-allow-origin': '*' } })
      : route.continue(),
  )
  byPath['/page'] = element()
  await tab.goto(`${ALLOWED}/page`)
  for (const times of [1, 2]) {
    await waitFor(`question ${times}`, () => asked === times)
    await waitFor('the next one', async () => {
      await tab.clock.runFor(1_000)
      return asked > times
    })
  }
  t.strictSame(await waitFor('the posts', () => tab.evaluate('told[0]')), ['feed-ready', 12])
})

t.test('markup in captions and alternative texts stays text in the element and in the frame', { skip }, async (t) => {
  const tab = await newTab(t, 'chromium')
  const requests: string[] = []
  tab.on('request', (request) => void requests.push(new URL(request.url()).host))
  t.match(await show(tab, element('captions').replace('<p id', `${frame}<p id`)), ['feed-ready', 12])
  t.equal(
    await tab.evaluate(inShadow("[...new Set([...root.querySelectorAll('*')].map(({ localName }) => localName))].sort().join()")),
    'a,img,li,p,ul',
  )
  t.equal(await tab.evaluate('typeof hit'), 'undefined')
  const framed = await waitFor('the frame', async () => tab.frames().find((one) => one.url().includes('/feed.html')))
  t.equal(
    await framed.evaluate("[...new Set([...document.querySelectorAll('body *')].map(({ localName }) => localName))].sort().join()"),
    'a,img,li,main,ul',
  )
  t.strictSame([...new Set(requests)].sort(), ['agent.example', 'shop.example'])
  const texts: string[] = await tab.evaluate(inShadow("[...root.querySelectorAll('li > .caption')].map(({ textContent }) => textContent)"))
  for (const text of MARKUP) t.ok(texts.includes(text), text)
})

t.test('the frame’s page is inert without its policy too, and axe-core finds nothing in it', { skip }, async (t) => {
  const body = await (await world.agent.fetch('/feed.html?count=100', { headers: { referer: `${ALLOWED}/` } })).text()
  byPath['/copy'] = body.replaceAll('href="/', 'href="https://agent.example/').replaceAll('/accounts/', 'https://agent.example/accounts/')
  const tab = await newTab(t, 'chromium')
  const requests: string[] = []
  tab.on('request', (request) => void requests.push(new URL(request.url()).host))
  await tab.goto(`${ALLOWED}/copy`)
  await waitFor('its pictures', () =>
    tab.evaluate("[...document.images].every((one) => { one.loading = 'eager'; return one.naturalWidth > 0 })"),
  )
  t.equal(await tab.evaluate('typeof hit'), 'undefined')
  t.strictSame([...new Set(requests)].sort(), ['agent.example', 'shop.example'])
  t.strictSame(await axe(tab, false), [])
})

t.test('the element takes no address of a post or a picture that leads elsewhere, whatever an agent answers', { skip }, async (t) => {
  const tab = await newTab(t, 'chromium')
  const requests: string[] = []
  tab.on('request', (request) => void requests.push(new URL(request.url()).host))
  const noCaption = { media_type: 'TEXT_POST', permalink: 'https://www.instagram.com/p/1/', caption: null }
  const LINKS = [
    'javascript:hit=1',
    'data:text/html,<script>hit=1</script>',
    'https://evil.example/https://www.instagram.com/',
    'https://www.instagram.com.evil.example/',
    'https://www.instagram.com@evil.example/',
    'http://www.instagram.com/p/1/',
    ' https://www.instagram.com/p/1/',
    'https://evil.example\\@www.instagram.com/',
    null,
  ]
  const picture = {
    width: 100,
    height: 100,
    alt: 'x',
    color: 'red; background: url(https://evil.example/hit)',
    sizes: [{ width: 320, height: 320, url: 'https://evil.example/hit.png' }],
  }
  const data = LINKS.map((permalink) => ({ media_type: 'IMAGE', permalink, caption: null, picture }))
  await tab.route('**/media.json', (route) =>
    route.fulfill({ json: { data: [...data, noCaption] }, headers: { 'access-control-allow-origin': '*' } }),
  )
  t.strictSame(await show(tab, element()), ['feed-ready', LINKS.length + 1])
  t.equal(
    await tab.evaluate(inShadow("[...root.querySelectorAll('[href]')].map(({ textContent }) => textContent).join()")),
    noCaption.permalink,
  )
  t.equal(await tab.evaluate(inShadow("root.querySelector('img').src")), 'https://agent.example/hit.png')
  t.strictSame([...new Set(requests)].sort(), ['agent.example', 'shop.example'])
  t.equal(await tab.evaluate('typeof hit'), 'undefined')
})
