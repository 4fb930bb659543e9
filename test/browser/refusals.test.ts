import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { BROWSERS } from '../support/browser.ts'
import { missing } from '../support/services.ts'
import type { Page } from '../support/sites.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { reactPage, SCRIPTS } from './react-page.ts'
import { copySnippets, HOSTILE, startWorld, type World } from './world.ts'

t.setTimeout(600_000)

const skip = missing('chromium', 'openssl')
const byPath: Record<string, string | Page> = { ...SCRIPTS }
const world = skip ? (null as unknown as World) : await startWorld(t, byPath)
const snippets = skip ? {} : await copySnippets(world)

// Records the developer's console inside the page.
const CONSOLE = `<!doctype html><meta charset="utf-8"><script>
  said = []
  for (const name of ['error', 'warn', 'log']) console[name] = (...words) => said.push(words.map(String).join(' '))
  addEventListener('error', ({ message }) => message && said.push('uncaught: ' + message))
  addEventListener('unhandledrejection', ({ reason }) => said.push('uncaught: ' + reason))
  shown = []
  function showFeed(token) { shown.push(token) }
</script><body>`
const PAGES: Record<string, (code: string) => string> = {
  feed: (code) => code,
  script: (code) => code,
  fetch: (code) => `<script>${code}</script>`,
  async: (code) => `<script>${code}</script>`,
  'instafeed-value': (code) => code,
  'instafeed-function': (code) => code,
  react: reactPage,
}
/** The console's sentence, with the page's address and the setting that refuses it. */
const SENTENCES = [
  [HOSTILE, /https:\/\/evil\.example is not on the list .* Add https:\/\/evil\.example to the variable ALLOWED_DOMAINS/],
  ['file:', /no address of its own .*its origin is “null”.* add that address to the variable ALLOWED_DOMAINS/],
] as const

for (const browser of [...BROWSERS, 'webkit'] as const) {
  const absent = browser === 'webkit' ? missing('webkit', 'xvfb') : missing(browser)
  t.test(
    `in ${browser} the console of a page that is not listed has the sentence, whatever snippet it uses`,
    { skip: skip || absent },
    async (t) => {
      const folder = tempFolder(t, 'pages')
      for (const [path, { body }] of Object.entries(SCRIPTS)) writeFileSync(join(folder, path), body)
      const tab = browser === 'webkit' ? await world.webkit() : await newTab(browser)
      for (const [name, toPage] of Object.entries(PAGES)) {
        const page = CONSOLE + toPage(snippets[name] ?? '')
        byPath[`/${name}`] = page
        writeFileSync(join(folder, `${name}.html`), page)
        for (const [site, sentence] of SENTENCES) {
          await tab.goto(site === HOSTILE ? `${HOSTILE}/${name}` : pathToFileURL(join(folder, `${name}.html`)).href)
          const said = async (): Promise<string[]> => JSON.parse(String(await tab.evaluate('JSON.stringify(said)')))
          const found = waitFor(`${name} on ${site} to say why`, async () => (await said()).some((line) => sentence.test(line)))
          await found.catch(async (error: Error) => t.fail(error.message, { said: await said() }))
          const others = (await said()).filter((line) => line.startsWith('uncaught:'))
          t.strictSame(others, [], `${name} on ${site}: no other error`)
          t.equal(await tab.evaluate('JSON.stringify([shown, document.images.length])'), '[[],0]', `${name} on ${site}`)
        }
      }
    },
  )
}

t.test('a page that sends custom headers can read the refusal too', { skip }, async (t) => {
  byPath['/headers'] = `${CONSOLE}<script>
    fetch('https://agent.example/token.json', { headers: { 'x-requested-with': 'fetch' } })
      .then((answer) => answer.json()).then(({ message }) => said.push(message), (error) => said.push(String(error)))</script>`
  const tab = await newTab('chromium')
  await tab.goto(`${HOSTILE}/headers`)
  const said = await waitFor('an answer', async () => String(await tab.evaluate('said.join()')))
  t.match(said, SENTENCES[0][1])
})

async function newTab(browser: (typeof BROWSERS)[number]) {
  const context = await (await world.browser(browser)).newContext({ ignoreHTTPSErrors: true })
  return context.newPage()
}
