import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { BROWSERS } from '../support/browser.ts'
import { SERVER_KEY } from '../support/owner.ts'
import { binary, missing } from '../support/services.ts'
import type { Page } from '../support/sites.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { builtReact, reactPage, SCRIPTS } from './react-page.ts'
import { inNode, runWithKey as run } from './run-with-key.ts'
import { ALLOWED, copySnippets, HOSTILE, javascript, startWorld, type World } from './world.ts'

t.setTimeout(600_000)

const skip = missing('chromium', 'openssl')
const byPath: Record<string, string | Page> = { ...SCRIPTS }
const world = skip ? (null as unknown as World) : await startWorld(t, byPath, { metaIsDead: true })
const MARKUP = [
  '<img src=https://evil.example/hit onerror="hit = 1">',
  `"><script>hit = 1</script>`,
  `' onmouseover='hit = 1' x='`,
  '</a></div></ul></style><svg onload="hit = 1"><iframe src="https://evil.example/hit"></iframe>',
  '{{ hit }}<%= hit %>{hit}',
  '&lt;script&gt;hit = 1&lt;/script&gt;',
]
if (!skip) Object.assign(world.instagram.knobs, { postPictures: 'own', captions: MARKUP, mediaGaps: true })
const snippets = skip ? {} : await copySnippets(world)

const SHOWN = ['media-fetch', 'media-instafeed', 'media-react'] as const
const PICTURES = `[...document.images].filter((image) => { image.loading = 'eager'; return image.naturalWidth > 0 }).length`
const html = (body: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><body>${body}`
const pageOf = (name: string): string => (name === 'media-react' ? reactPage(snippets[name] ?? '') : (snippets[name] ?? ''))

t.test('these are all ways to the feed that the home page shows', { skip }, async (t) => {
  const ofFeed = Object.keys(snippets).filter((name) => /^(media-|widget$|frame$)/.test(name))
  const builds = ['media-next', 'media-eleventy', 'media-astro', 'media-hugo', 'media-curl']
  t.same(ofFeed.toSorted(), ['widget', 'frame', ...SHOWN, ...builds, 'media-csp'].toSorted())
})

for (const browser of BROWSERS)
  for (const name of SHOWN)
    t.test(
      `in ${browser} “${name}” shows the posts in a grid on a phone, and no markup of theirs`,
      { skip: skip || missing(browser) },
      async (t) => {
        byPath[`/${name}`] = html(pageOf(name))
        const context = await (await world.browser(browser)).newContext({ ignoreHTTPSErrors: true, viewport: { width: 360, height: 740 } })
        t.teardown(() => context.close())
        const tab = await context.newPage()
        await tab.goto(`${ALLOWED}/${name}`)
        await waitFor('twelve pictures', async () => (await tab.evaluate(PICTURES)) === 12)
        t.equal(await tab.evaluate('document.images.length'), 12, 'no broken picture')
        t.ok(
          await tab.evaluate(
            '[...document.links].length === 12 && [...document.links].every(({ href }) => /^https:..www.instagram.com.p/.test(href))',
          ),
        )
        const lefts = '[...new Set([...document.images].map((one) => Math.round(one.getBoundingClientRect().left)))].length'
        t.equal(await tab.evaluate(lefts), 3, 'three columns')
        t.ok(await tab.evaluate('[...document.images].every(({ width, height }) => Math.abs(width - height) <= 1)'), 'squares')
        t.ok(await tab.evaluate('document.documentElement.scrollWidth <= innerWidth'), 'nothing runs off the side')
        t.ok(await tab.evaluate('[...document.images].every(({ alt }) => alt !== "")'))
        t.equal(await tab.evaluate('typeof hit'), 'undefined')
        t.equal(
          await tab.evaluate(
            "document.querySelectorAll('svg, iframe, img[onerror], [onmouseover], body script:not([src]):not(:first-of-type) ~ img').length",
          ),
          0,
        )
        t.match(
          await tab.evaluate('[...document.images].map(({ alt }) => alt).join()'),
          /<img src=https:\/\/evil\.example\/hit onerror="hit = 1">/,
        )

        const hostile = await world.open(browser, HOSTILE, `/${name}`)
        t.equal(await hostile.tab.evaluate('document.images.length'), 0)
        for (const answer of hostile.answers) t.match(answer, /^\/media\.json 403$/)
        await hostile.close()
      },
    )

t.test('each works unchanged on a strict page with the lines of “media-csp”', { skip }, async (t) => {
  const policy = `default-src 'self'; ${(snippets['media-csp'] ?? '').replaceAll('\n', ' ')}`
  byPath['/built.js'] = javascript(builtReact(snippets['media-react'] ?? ''))
  const react = '<div id="root"></div><script src="/react.js"></script><script src="/built.js"></script>'
  for (const [name, body] of [
    ['media-fetch', snippets['media-fetch']],
    ['media-instafeed', snippets['media-instafeed']],
    ['media-react', react],
  ] as const) {
    byPath[`/strict-${name}`] = { body: html(body ?? ''), headers: { 'content-security-policy': policy } }
    const { tab, close } = await world.open('chromium', ALLOWED, `/strict-${name}`, { page: `${PICTURES} === 12` })
    t.ok(await tab.evaluate('[...document.images].every(({ width, height }) => Math.abs(width - height) <= 1)'), name)
    await close()
  }
})

const POSTS = 'posts.length, posts.every(({ picture, permalink }) => picture && permalink), posts[0].picture.sizes[0].url'
const ANSWER = /^\d+ true https:\/\/agent\.example\/accounts\/default\/pictures\/[0-9a-f]{32}-\d+\.webp\n$/

t.test('“media-eleventy” and the server part of “media-astro” give a build the posts that have a picture', { skip }, async (t) => {
  const file = join(tempFolder(t, 'posts'), 'posts.mjs')
  writeFileSync(file, fromHere(snippets['media-eleventy'] ?? ''))
  const eleventy = `import data from '${file}'; const posts = await data(); console.log(${POSTS})`
  const astro = `${fromHere(/^---\n(.*)\n---\n/s.exec(snippets['media-astro'] ?? '')?.[1] ?? '')}\nconsole.log(${POSTS})`
  for (const [name, module] of Object.entries({ eleventy, astro })) {
    t.match(await inNode(module, SERVER_KEY), { code: 0, output: ANSWER }, name)
    t.match(await inNode(module, 'another-key'), { code: 1, output: /This key is not one of SERVER_KEYS/ }, `${name} without the key fails`)
  }
})

t.test('“media-next” renders the posts on the server, without a script', { skip }, async (t) => {
  const { outputText } = ts.transpileModule(fromHere(snippets['media-next'] ?? ''), {
    compilerOptions: { jsx: ts.JsxEmit.ReactJSX, module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  })
  const folder = join(import.meta.dirname, '../..')
  const render = `${outputText}
    import { renderToStaticMarkup } from 'react-dom/server'
    console.log(renderToStaticMarkup(await InstagramFeed()))`
  const { code, output } = await run(process.execPath, ['--input-type=module', '--eval', render], { key: SERVER_KEY, cwd: folder })
  t.equal(code, 0, output)
  t.equal(output.match(/<a href="https:\/\/www\.instagram\.com\/p\/[^"]*"><img alt="[^"]+" /g)?.length, 12)
  t.match(output, /srcSet="https:\/\/agent\.example\/accounts\/default\/pictures\/|srcset="https:\/\/agent\.example/i)
  t.notMatch(output, /<script|<svg|<iframe|<img src=https:\/\/evil/)
  t.match(await run(process.execPath, ['--input-type=module', '--eval', render], { key: 'x', cwd: folder }), {
    code: 1,
    output: /SERVER_KEYS/,
  })
})

t.test('“media-curl” prints the posts as JSON', { skip }, async (t) => {
  const { code, output } = await run('sh', ['-c', fromHere(snippets['media-curl'] ?? '').replace('curl', 'curl -sS')], { key: SERVER_KEY })
  t.equal(code, 0)
  t.ok(JSON.parse(output).data.length > 12)
})

t.test('“media-hugo” builds the posts into a page, with Debian’s Hugo', { skip: skip || missing('hugo') }, async (t) => {
  const folder = tempFolder(t, 'hugo')
  const build = async (key: string) => {
    for (const [path, text] of Object.entries({
      'config.toml': 'baseURL = "https://shop.example/"\ndisableKinds = ["taxonomy", "term", "RSS", "sitemap"]\n',
      'layouts/partials/posts.html': fromHere(snippets['media-hugo'] ?? ''),
      'layouts/index.html': '<!doctype html><title>Shop</title>{{ partial "posts.html" . }}',
    })) {
      mkdirSync(join(folder, path, '..'), { recursive: true })
      writeFileSync(join(folder, path), text)
    }
    return run(binary('hugo'), ['--source', folder, '--ignoreCache', '--cacheDir', join(folder, 'cache')], { key })
  }
  const refused = await build('another-key')
  t.equal(refused.code === 0, false, 'a build without the key fails')
  t.match(refused.output, /The posts cannot be fetched|no posts at/)
  const { code, output } = await build(SERVER_KEY)
  t.equal(code, 0, output)
  const page = readFileSync(join(folder, 'public/index.html'), 'utf8')
  t.equal(
    page.match(
      /<a href="https:\/\/www\.instagram\.com\/p\/[^"]*"><img src="https:\/\/agent\.example\/accounts\/default\/pictures\/[^"]+" alt="[^"]+" loading="lazy"/g,
    )?.length,
    12,
  )
  t.notMatch(page, /<script|<svg|<iframe|<img src=https:\/\/evil|ZgotmplZ/)
})

t.test('for a named account they have its address', { skip }, async (t) => {
  const named = await copySnippets(world, '?account=shop-2')
  t.match(named['widget'], '<token-agent-feed account="shop-2"')
  for (const name of ['frame', ...SHOWN, 'media-next', 'media-curl'])
    t.match(named[name], /https:\/\/agent\.example\/accounts\/shop-2\/(media\.json|feed\.html)/, name)
})

/** Replaces the made-up name by the agent's real address: a build cannot resolve it. */
function fromHere(code: string): string {
  return code.replaceAll('https://agent.example', world.address)
}
