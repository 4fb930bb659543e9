import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { BROWSERS, launchBrowser } from '../support/browser.ts'
import { SERVER_KEY } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import type { Page } from '../support/sites.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { builtReact, reactPage, SCRIPTS } from './react-page.ts'
import { inNode, runWithKey as run } from './run-with-key.ts'
import { ALLOWED, copySnippets, HOSTILE, javascript, startWorld, type World } from './world.ts'

t.setTimeout(600_000)

const skip = missing('chromium', 'openssl')
// The pages are filled later, from the snippets of the agent's home page.
const byPath: Record<string, string | Page> = { ...SCRIPTS }
const world = skip ? (null as unknown as World) : await startWorld(t, byPath)
const snippets = skip ? {} : await copySnippets(world)

const html = (body: string): string =>
  `<!doctype html><meta charset="utf-8"><body><script>shown = []; function showFeed(token) { shown.push(token) }</script>${body}`
const inScript = (name: string): string => html(`<script>${snippets[name]}</script>`)
const SHOWN = 'JSON.stringify(shown)'
// Those far from the window would wait.
const PICTURES = `[...document.images].filter((image) => { image.loading = 'eager'; return image.naturalWidth > 0 }).length`

t.test('this file tests every snippet of the home page', { skip }, async (t) => {
  const browser = ['feed', 'script', 'fetch', 'async', 'instafeed-value', 'instafeed-function', 'react', 'csp']
  // Those of the feed: test/browser/feed.test.ts and feed-snippets.test.ts.
  const ofToken = Object.keys(snippets).filter((name) => !/^(media-|widget$|frame$)/.test(name))
  t.same(ofToken.toSorted(), [...browser, 'astro', 'curl', 'eleventy'].toSorted())
  t.notMatch(Object.values(snippets).join('\n'), /%(address|place|token|account|constant|profile|hashes)%/, 'no placeholder is left')
})

for (const browser of BROWSERS) {
  for (const [name, page] of [
    ['script', () => html(snippets['script'] ?? '')],
    ['fetch', () => inScript('fetch')],
    ['async', () => inScript('async')],
  ] as const) {
    t.test(
      `in ${browser} the snippet “${name}” gives the token to an allowed page, and nothing to a hostile one`,
      { skip: skip || missing(browser) },
      async (t) => {
        byPath[`/${name}`] = page()
        for (const [site, expected] of [
          [HOSTILE, []],
          [ALLOWED, [world.token]],
        ] as const) {
          const { tab, answers, close } = await world.open(browser, site, `/${name}`, { page: `shown.length >= ${expected.length}` })
          t.equal(await tab.evaluate(SHOWN), JSON.stringify(expected), site)
          for (const answer of answers) t.match(answer, site === ALLOWED ? / 200$/ : / 403$/)
          await close()
        }
      },
    )
  }

  for (const [name, shown, page] of [
    ['feed', 12, () => `<!doctype html><meta charset="utf-8"><body>${snippets['feed']}`],
    ['instafeed-value', 25, () => html(snippets['instafeed-value'] ?? '')],
    ['instafeed-function', 25, () => html(snippets['instafeed-function'] ?? '')],
    ['react', 25, () => html(reactPage(snippets['react'] ?? ''))],
  ] as const) {
    t.test(
      `in ${browser} the snippet “${name}” shows the feed on an allowed page, and nothing on a hostile one`,
      { skip: skip || missing(browser) },
      async (t) => {
        byPath[`/${name}`] = page()
        const before = world.instagram.counts['/me/media'] ?? 0
        const hostile = await world.open(browser, HOSTILE, `/${name}`)
        t.equal(await hostile.tab.evaluate(PICTURES), 0)
        for (const answer of hostile.answers) t.match(answer, /^\/token\.js(on)? 403$/)
        t.equal(world.instagram.counts['/me/media'] ?? 0, before, 'Instagram was not called')
        await hostile.close()

        const allowed = await world.open(browser, ALLOWED, `/${name}`, { page: `${PICTURES} === ${shown}` })
        t.equal(world.instagram.counts['/me/media'], before + 1)
        t.match(await allowed.tab.evaluate('document.links[0].href'), /^https:\/\/www\.instagram\.com\/p\//)
        await allowed.close()
      },
    )
  }

  t.test(
    `in ${browser} the snippet “feed” tells what its pictures show, and says in the console why there are none`,
    { skip: skip || missing(browser) },
    async (t) => {
      byPath['/feed'] = `<!doctype html><meta charset="utf-8"><body>${snippets['feed']}`
      const allowed = await world.open(browser, ALLOWED, '/feed', { page: `${PICTURES} === 12` })
      t.equal(await allowed.tab.evaluate('document.images[4].alt'), 'Picture number 4')
      t.match(await allowed.tab.evaluate('document.images[4].src'), /4\.jpg$/, 'a video’s still picture')
      await allowed.close()
      const said: string[] = []
      const hostile = await world.open(browser, HOSTILE, '/feed')
      hostile.tab.on('console', (message) => void said.push(message.text()))
      await hostile.tab.reload()
      await waitFor('the sentence in the console', () => said.some((line) => /The Instagram feed is not shown: \w/.test(line)))
      t.equal(await hostile.tab.evaluate('document.body.innerText.trim()'), '', 'the page shows nothing')
      await hostile.close()
    },
  )

  t.test(
    `in ${browser} each snippet works unchanged on a strict page with the lines of “csp”, and says why on a page that is not listed`,
    { skip: skip || missing(browser) },
    async (t) => {
      const policy = `default-src 'self'; ${(snippets['csp'] ?? '').replaceAll('\n', ' ')}`
      const strict = (body: string, lines: string): Page => ({
        body: `<!doctype html><meta charset="utf-8"><body><script src="/show.js"></script>${body}`,
        headers: { 'content-security-policy': lines },
      })
      byPath['/show.js'] = javascript('shown = []; function showFeed(token) { shown.push(token) }')
      byPath['/fetch.js'] = javascript(snippets['fetch'] ?? '')
      byPath['/async.js'] = javascript(snippets['async'] ?? '')
      byPath['/built.js'] = javascript(builtReact(snippets['react'] ?? ''))
      const react = '<div id="root"></div><script src="/react.js"></script><script src="/built.js"></script>'
      for (const [name, body, works] of [
        ['feed', snippets['feed'], `${PICTURES} === 12`],
        ['script', snippets['script'], 'shown.length === 1'],
        ['instafeed-value', snippets['instafeed-value'], `${PICTURES} === 25`],
        ['instafeed-function', snippets['instafeed-function'], `${PICTURES} === 25`],
        ['fetch', '<script src="/fetch.js"></script>', 'shown.length === 1'],
        ['async', '<script src="/async.js"></script>', 'shown.length === 1'],
        ['react', react, `${PICTURES} === 25`],
      ] as const) {
        byPath[`/strict-${name}`] = strict(body ?? '', policy)
        const { close } = await world.open(browser, ALLOWED, `/strict-${name}`, { page: works })
        await close()
      }
      const said: string[] = []
      const hostile = await world.open(browser, HOSTILE, '/strict-script')
      hostile.tab.on('console', (message) => void said.push(message.text()))
      await hostile.tab.reload()
      await waitFor('onerror to say why', () => said.some((line) => line.includes('https://evil.example is not on the list')))
      await hostile.close()
      byPath['/too-strict'] = strict(snippets['feed'] ?? '', "default-src 'self'")
      const without = await world.open(browser, ALLOWED, '/too-strict', { answers: 0 })
      t.equal(await without.tab.evaluate(PICTURES), 0, 'without the lines it fails')
      await without.close()
    },
  )

  t.test(
    `in ${browser} no snippet shows a post without a picture, or links a post without an address`,
    { skip: skip || missing(browser) },
    async (t) => {
      world.instagram.knobs.mediaGaps = true
      t.teardown(() => {
        world.instagram.knobs.mediaGaps = false
      })
      for (const [name, body, shown] of [
        ['feed', snippets['feed'], 10],
        ['instafeed-value', snippets['instafeed-value'], 23],
        ['instafeed-function', snippets['instafeed-function'], 23],
        ['react', reactPage(snippets['react'] ?? ''), 23],
      ] as const) {
        byPath[`/gaps-${name}`] = html(body ?? '')
        const { tab, close } = await world.open(browser, ALLOWED, `/gaps-${name}`, { page: `${PICTURES} === ${shown}` })
        t.equal(await tab.evaluate('document.images.length'), shown, `${name}: no broken picture`)
        t.equal(await tab.evaluate('document.links.length'), shown - 1, `${name}: no link to nowhere`)
        t.notMatch(await tab.content(), /"undefined"|"null"|"false"|href=""/, name)
        await close()
      }
    },
  )
}

t.test(
  'with Firefox’s tracking protection the token’s feed is empty, and the element shows its posts',
  { skip: skip || missing('firefox') },
  async (t) => {
    world.instagram.knobs.postPictures = 'own'
    t.teardown(() => {
      world.instagram.knobs.postPictures = 'meta'
    })
    const trackers = ['instagram.com', 'graph.instagram.com', 'cdninstagram.com', 'scontent.cdninstagram.com']
    const browser = await launchBrowser(t, 'firefox', world.sites, { trackers })
    const tab = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage()
    const shown = (name: string): string => `<!doctype html><meta charset="utf-8"><script>said = []
    console.error = (...words) => said.push(words.join(' '))</script>${snippets[name]}`
    byPath['/protected-feed'] = shown('feed')
    byPath['/protected-widget'] = shown('widget')
    await tab.goto(`${ALLOWED}/protected-feed`)
    await waitFor('the feed to fail', () => tab.evaluate('said.length > 0'))
    t.match(await tab.evaluate('said.join()'), /The Instagram feed is not shown: NetworkError/)
    await tab.goto(`${ALLOWED}/protected-widget`)
    const posts = tab.locator('token-agent-feed a > img')
    await posts.nth(11).waitFor()
    await waitFor('a picture', () => posts.first().evaluate((one) => (one as unknown as { naturalWidth: number }).naturalWidth > 0))
    // Without the protection the same page works.
    const { close } = await world.open('firefox', ALLOWED, '/protected-feed', { page: 'document.images.length > 0' })
    await close()
  },
)

t.test('no snippet makes an element or a handler of markup in a caption', { skip }, async (t) => {
  world.instagram.knobs.captions = [
    '<svg onload="hit = 1">',
    '"><script>hit = 1</script><img src=x onerror="hit = 1">',
    `' onload='hit = 1' "`,
  ]
  t.teardown(() => {
    world.instagram.knobs.captions = null
  })
  for (const [name, body, shown] of [
    ['feed', snippets['feed'], 12],
    ['instafeed-value', snippets['instafeed-value'], 25],
    ['instafeed-function', snippets['instafeed-function'], 25],
    ['react', reactPage(snippets['react'] ?? ''), 25],
  ] as const) {
    byPath[`/markup-${name}`] = html(body ?? '')
    const { tab, close } = await world.open('chromium', ALLOWED, `/markup-${name}`, { page: `${PICTURES} === ${shown}` })
    t.equal(await tab.evaluate('typeof hit'), 'undefined', name)
    t.equal(await tab.evaluate("document.querySelectorAll('svg, [onload], [onerror]:not(script)').length"), 0, name)
    t.match(await tab.evaluate('[...document.images].map(({ alt }) => alt).join()'), '<svg onload="hit = 1">', `${name}: the text stays`)
    await close()
  }
})

t.test('the snippet “eleventy” is a data file that gives the posts to a build with a server key', { skip }, async (t) => {
  const file = join(tempFolder(t), 'instagram.mjs')
  writeFileSync(file, fromHere(snippets['eleventy'] ?? ''))
  const run = (key: string) => inNode(`import data from '${file}'; console.log((await data()).length)`, key)
  t.match(await run(SERVER_KEY), { code: 0, output: '25\n' })
  world.instagram.knobs.mediaGaps = true
  t.teardown(() => {
    world.instagram.knobs.mediaGaps = false
  })
  const pictures = `import data from '${file}'; console.log((await data()).filter(({ picture }) => /jpg$/.test(picture)).length)`
  t.match(await inNode(pictures, SERVER_KEY), { code: 0, output: '23\n' }, 'a post without a picture is left out')
  const refused = await run('another')
  t.equal(refused.code, 1, 'a build without the key fails')
  t.match(refused.output, /This key is not one of SERVER_KEYS/)
  t.notMatch(refused.output, world.token)
})

t.test('the server part of the snippet “astro” runs at build time', { skip }, async (t) => {
  const frontmatter = /^---\n(.*)\n---\n/s.exec(snippets['astro'] ?? '')?.[1] ?? ''
  const run = (key: string) => inNode(`${fromHere(frontmatter)}\nconsole.log(posts.length, posts[0].media_url)`, key)
  t.match(await run(SERVER_KEY), { code: 0, output: /^25 https:\/\/scontent/ })
  world.instagram.knobs.mediaGaps = true
  t.match(await run(SERVER_KEY), { code: 0, output: /^23 https:\/\/scontent/ }, 'a post without a picture is left out')
  world.instagram.knobs.mediaGaps = false
  t.match(await run(''), { code: 1, output: /SERVER_KEYS/ })
})

t.test('the snippet “react” is a client component for Next’s App Router', { skip }, async (t) => {
  t.match(snippets['react'], /^'use client'\n/)
})

t.test('the snippet “curl” prints the token as JSON', { skip }, async (t) => {
  const { code, output } = await run('sh', ['-c', fromHere(snippets['curl'] ?? '').replace('curl', 'curl -sS')], { key: SERVER_KEY })
  t.equal(code, 0)
  t.same(JSON.parse(output), { token: world.token })
})

t.test('for a named account the snippets have its address', { skip }, async (t) => {
  const named = await copySnippets(world, '?account=default')
  t.match(named['script'], '<script src="https://agent.example/accounts/default/token.js"')
  t.match(named['fetch'], "fetch('https://agent.example/accounts/default/token.json')")
  for (const query of ['?account=%3Cscript%3E', '?account=a&account=b', '?account=']) {
    t.same(await copySnippets(world, query), snippets, query)
  }
  const unknown = await copySnippets(world, '?account=unknown')
  t.match(unknown['media-fetch'], '/accounts/unknown/media.json')
  t.notOk('script' in unknown, 'there is no token')
})

/** Replaces made-up names by the servers' real addresses: a build cannot resolve them. */
function fromHere(code: string): string {
  return code.replaceAll('https://agent.example', world.address).replaceAll('https://graph.instagram.com', world.instagram.url)
}
