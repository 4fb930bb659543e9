import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { SERVER_KEY } from '../http/serving.ts'
import { BROWSERS } from '../support/browser.ts'
import { missing } from '../support/services.ts'
import type { Page } from '../support/sites.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { ALLOWED, copySnippets, HOSTILE, INSTAFEED, read, startWorld, type World } from './world.ts'

t.setTimeout(600_000)

const skip = missing('chromium', 'openssl')
// The pages are filled in later: the agent's own page has the snippets that they are made of.
const byPath: Record<string, string | Page> = {
  '/instafeed.min.js': INSTAFEED,
  '/react.js': javascript(read('../../node_modules/react/umd/react.production.min.js')),
  '/react-dom.js': javascript(read('../../node_modules/react-dom/umd/react-dom.production.min.js')),
}
const world = skip ? (null as unknown as World) : await startWorld(t, byPath)
const snippets = skip ? {} : await copySnippets(world)

const html = (body: string): string =>
  `<!doctype html><meta charset="utf-8"><body><script>shown = []; function showFeed(token) { shown.push(token) }</script>${body}`
const inScript = (name: string): string => html(`<script>${snippets[name]}</script>`)
const SHOWN = 'JSON.stringify(shown)'
const PICTURES = '[...document.images].filter((image) => image.naturalWidth > 0).length'

t.test('every snippet of the page / is run by a test of this file', { skip }, async (t) => {
  const browser = ['feed', 'script', 'fetch', 'async', 'instafeed-value', 'instafeed-function', 'react', 'csp']
  t.same(Object.keys(snippets).toSorted(), [...browser, 'astro', 'curl', 'eleventy'].toSorted())
  t.notMatch(Object.values(snippets).join('\n'), /%(address|token|constant)%/, 'no placeholder is left')
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
          t.equal(answers.length, 1, answers.join())
          t.match(answers[0], site === ALLOWED ? / 200$/ : / 403$/)
          await close()
        }
      },
    )
  }

  for (const [name, shown, page] of [
    ['feed', 12, () => `<!doctype html><meta charset="utf-8"><body>${snippets['feed']}`],
    ['instafeed-value', 25, () => html(snippets['instafeed-value'] ?? '')],
    ['instafeed-function', 25, () => html(snippets['instafeed-function'] ?? '')],
    ['react', 25, reactPage],
  ] as const) {
    t.test(
      `in ${browser} the snippet “${name}” shows the feed on an allowed page, and nothing on a hostile one`,
      { skip: skip || missing(browser) },
      async (t) => {
        byPath[`/${name}`] = page()
        const before = world.instagram.counts['/me/media'] ?? 0
        const hostile = await world.open(browser, HOSTILE, `/${name}`)
        t.equal(await hostile.tab.evaluate(PICTURES), 0)
        t.match(hostile.answers.join(), /^\/token\.js(on)? 403$/)
        t.equal(world.instagram.counts['/me/media'] ?? 0, before, 'Instagram was not even asked')
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
      t.match(await allowed.tab.evaluate('document.images[4].src'), /4\.jpg$/, 'of a video its still picture')
      await allowed.close()
      const said: string[] = []
      const hostile = await world.open(browser, HOSTILE, '/feed')
      hostile.tab.on('console', (message) => void said.push(message.text()))
      await hostile.tab.reload()
      await waitFor('the sentence in the console', () => said.some((line) => /The Instagram feed is not shown: \w/.test(line)))
      t.equal(await hostile.tab.evaluate('document.body.innerText.trim()'), '', 'the page stays quiet')
      await hostile.close()
    },
  )

  t.test(
    `in ${browser} a strict page with the snippet’s lines in its Content-Security-Policy gets script, JSON and pictures`,
    { skip: skip || missing(browser) },
    async (t) => {
      const app = `${snippets['async']}\nshown = [InstagramToken]\nfunction showFeed(token) {
      shown.push(token)
      const feed = 'https://graph.instagram.com/me/media?fields=media_url&limit=3&access_token=' + token
      fetch(feed).then((answer) => answer.json()).then(({ data }) => {
        for (const { media_url } of data) document.body.append(Object.assign(new Image(), { src: media_url }))
      })
    }`
      byPath['/app.js'] = javascript(app)
      const body = `<!doctype html><body><script src="https://agent.example/token.js" crossorigin="anonymous"></script><script src="/app.js"></script>`
      const policy = (lines: string): Page => ({ body, headers: { 'content-security-policy': `default-src 'self'; ${lines}` } })
      byPath['/strict'] = policy((snippets['csp'] ?? '').replaceAll('\n', ' '))
      byPath['/too-strict'] = policy('')
      const { tab, close } = await world.open(browser, ALLOWED, '/strict', { page: `${PICTURES} === 3` })
      t.equal(await tab.evaluate(SHOWN), JSON.stringify([world.token, world.token]))
      await close()
      const without = await world.open(browser, ALLOWED, '/too-strict', { answers: 0 })
      t.equal(await without.tab.evaluate('typeof InstagramToken'), 'undefined', 'the lines are needed')
      await without.close()
    },
  )
}

t.test('the snippet “eleventy” is a data file that gives the posts to a build with a server key', { skip }, async (t) => {
  const file = join(tempFolder(t), 'instagram.mjs')
  writeFileSync(file, fromHere(snippets['eleventy'] ?? ''))
  const run = (key: string) => inNode(`import data from '${file}'; console.log((await data()).length)`, key)
  t.match(await run(SERVER_KEY), { code: 0, output: '25\n' })
  const refused = await run('another')
  t.equal(refused.code, 1, 'a build without the key fails')
  t.match(refused.output, /This key is not one of SERVER_KEYS/)
  t.notMatch(refused.output, world.token)
})

t.test('the first part of the snippet “astro” runs when the site is built', { skip }, async (t) => {
  const frontmatter = /^---\n(.*)\n---\n/s.exec(snippets['astro'] ?? '')?.[1] ?? ''
  const run = (key: string) => inNode(`${fromHere(frontmatter)}\nconsole.log(posts.length, posts[0].media_url)`, key)
  t.match(await run(SERVER_KEY), { code: 0, output: /^25 https:\/\/scontent/ })
  t.match(await run(''), { code: 1, output: /SERVER_KEYS/ })
})

t.test('the snippet “curl” prints the token as JSON', { skip }, async (t) => {
  const { code, output } = await run('sh', ['-c', fromHere(snippets['curl'] ?? '').replace('curl', 'curl -sS')], SERVER_KEY)
  t.equal(code, 0)
  t.same(JSON.parse(output), { token: world.token })
})

t.test('for a named account the snippets have its address', { skip }, async (t) => {
  const named = await copySnippets(world, '?account=shop-2')
  t.match(named['script'], '<script src="https://agent.example/accounts/shop-2/token.js"')
  t.match(named['fetch'], "fetch('https://agent.example/accounts/shop-2/token.json')")
  for (const query of ['?account=%3Cscript%3E', '?account=a&account=b', '?account=']) {
    t.same(await copySnippets(world, query), snippets, query)
  }
})

/** The component as React's own build tools make it run, and a page that shows it. */
function reactPage(): string {
  const { outputText } = ts.transpileModule(snippets['react'] ?? '', {
    compilerOptions: { jsx: ts.JsxEmit.ReactJSX, module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 },
  })
  const runtime = read('../../node_modules/react/cjs/react-jsx-runtime.production.min.js')
  return html(`<div id="root"></div><script src="/react.js"></script><script src="/react-dom.js"></script><script>
    const modules = { react: React }
    const define = (name, body) => { body(modules[name] = {}, (other) => modules[other]) }
    define('react/jsx-runtime', (exports, require) => { ${runtime} })
    define('feed', (exports, require) => { ${outputText} })
    ReactDOM.createRoot(document.getElementById('root')).render(React.createElement(modules.feed.InstagramFeed))
  </script>`)
}

/** A build runs where made-up names lead nowhere: to the same servers by their real addresses. */
function fromHere(code: string): string {
  return code.replaceAll('https://agent.example', world.agent.url).replaceAll('https://graph.instagram.com', world.instagram.url)
}

function inNode(module: string, key: string): Promise<{ code: number; output: string }> {
  return run(process.execPath, ['--input-type=module', '--eval', module], key)
}

async function run(command: string, args: string[], key: string): Promise<{ code: number; output: string }> {
  const child = spawn(command, args, { env: { PATH: process.env['PATH'], TOKEN_AGENT_KEY: key } })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk
    })
  const [code] = await once(child, 'close')
  return { code, output }
}

function javascript(body: string): Page {
  return { type: 'text/javascript', body }
}
