import t from 'tap'
import { BROWSERS } from '../support/browser.ts'
import { missing } from '../support/services.ts'
import { waitFor } from '../support/wait-for.ts'
import { ALLOWED, HOSTILE, javascript, startWorld } from './world.ts'

t.setTimeout(600_000)
// Browsers mostly wait, so both run at once.
t.jobs = BROWSERS.length

// Stands for the script's address with the number of its way.
const SCRIPT = 'https://agent.example/token.js?WAY'
const TELL = "typeof InstagramToken === 'undefined' ? 'nothing' : InstagramToken"
const HAD = `(typeof result === 'undefined' ? ${TELL} : result)`
const html = (body: string, head = ''): string => `<!doctype html><meta charset="utf-8">${head}<body>${body}`
const worker = (options: string): string =>
  `<script>new Worker('/worker${options}.js?WAY', ${options === '' ? '{}' : "{ type: 'module' }"}).onmessage = ({ data }) => { result = data }</script>`
// A frame reports its constant to its page, which has none itself.
const FRAMED = `<script src="${SCRIPT}" crossorigin="anonymous"></script><script>parent.postMessage(${TELL}, '*')</script>`
const LISTEN = '<script>onmessage = ({ data }) => { result = data }</script>'

/** Ways to include the script, and whether an allowed page then has the constant. */
const WAYS: Record<string, { page: string; works: boolean }> = {
  plain: { page: html(`<script src="${SCRIPT}"></script>`), works: true },
  crossorigin: { page: html(`<script src="${SCRIPT}" crossorigin="anonymous"></script>`), works: true },
  'crossorigin with credentials': { page: html(`<script src="${SCRIPT}" crossorigin="use-credentials"></script>`), works: false },
  module: { page: html(`<script type="module" src="${SCRIPT}"></script>`), works: true },
  'an import': { page: html(`<script type="module">import '${SCRIPT}'</script>`), works: true },
  'a later import': { page: html(`<script>import('${SCRIPT}').catch(() => {})</script>`), works: true },
  async: { page: html(`<script async src="${SCRIPT}"></script>`), works: true },
  defer: { page: html(`<script defer src="${SCRIPT}"></script>`), works: true },
  twice: { page: html(`<script src="${SCRIPT}"></script>`.repeat(2)), works: true },
  'created by a script': {
    page: html(`<script>document.head.append(Object.assign(document.createElement('script'), { src: '${SCRIPT}' }))</script>`),
    works: true,
  },
  'plain, with the full address as referrer': { page: html(`<script src="${SCRIPT}" referrerpolicy="unsafe-url"></script>`), works: true },
  'plain, the base of an allowed site': { page: html(`<script src="${SCRIPT}"></script>`, `<base href="${ALLOWED}/">`), works: true },
  // Such a request does not identify its site, so the snippet always has crossorigin.
  'plain, on a page without referrer': {
    page: html(`<script src="${SCRIPT}"></script>`, '<meta name="referrer" content="no-referrer">'),
    works: false,
  },
  'crossorigin, on a page without referrer': {
    page: html(`<script src="${SCRIPT}" crossorigin="anonymous"></script>`, '<meta name="referrer" content="no-referrer">'),
    works: true,
  },
  'module, on a page without referrer': {
    page: html(`<script type="module" src="${SCRIPT}"></script>`, '<meta name="referrer" content="no-referrer">'),
    works: true,
  },
  'a frame of the page’s own': { page: html(`${LISTEN}<iframe srcdoc="${FRAMED.replaceAll('"', '&quot;')}"></iframe>`), works: true },
  'a sandboxed frame': { page: html(`${LISTEN}<iframe sandbox="allow-scripts" src="/framed"></iframe>`), works: false },
  'a data: frame': { page: html(`${LISTEN}<iframe src="data:text/html,${encodeURIComponent(FRAMED)}"></iframe>`), works: false },
  'a worker': { page: html(worker('')), works: true },
  'a module worker': { page: html(worker('-module')), works: true },
}

// Each way has a frame of its own site, which a browser treats as it treats a page of that site, and keeps telling its page what
// it has. The number in the address keeps the answers apart, in the browser's cache too.
const NUMBERED = Object.values(WAYS).map(({ page }, at) => [
  `/${at}`,
  `${page.replaceAll('WAY', String(at))}<script>setInterval(() => parent.postMessage({ at: ${at}, had: ${HAD} }, '*'), 100)</script>`,
])
const FRAMES = `<script>had = {}; onmessage = ({ data }) => { had[data.at] = data.had }</script>${NUMBERED.map(([path]) => `<iframe src="${path}"></iframe>`).join('')}`
const ANSWERS = NUMBERED.map((_, at) => `/token.js?${at} `)

for (const browser of BROWSERS) {
  t.test(`in ${browser} a hostile page never has the constant; an allowed one has it`, { skip: missing(browser, 'openssl') }, async (t) => {
    const world = await startWorld(t, {
      ...Object.fromEntries(NUMBERED),
      '/': html(FRAMES),
      '/framed': html(FRAMED).replaceAll('WAY', String(Object.keys(WAYS).indexOf('a sandboxed frame'))),
      '/worker.js': javascript(
        `try { importScripts('${SCRIPT}'.replace('WAY', location.search.slice(1))) } catch {}\npostMessage(${TELL})`,
      ),
      '/worker-module.js': javascript(
        `import('${SCRIPT}'.replace('WAY', location.search.slice(1))).catch(() => {}).then(() => postMessage(${TELL}))`,
      ),
    })
    for (const site of [HOSTILE, ALLOWED]) {
      const { tab, answers, close } = await world.open(browser, site, '/', { answers: ANSWERS })
      const expected = Object.values(WAYS).map(({ works }) => (site === ALLOWED && works ? world.token : 'nothing'))
      await tab.evaluate('had = {}')
      const isThere = `JSON.stringify(Object.values(had)) === '${JSON.stringify(expected)}'`
      await waitFor('each way to tell what is expected', () => tab.evaluate(isThere)).catch(() => {})
      const had = await tab.evaluate<Record<string, string>>('had')
      for (const [at, way] of Object.keys(WAYS).entries()) {
        t.equal(had[at], expected[at], `${way} on ${site}`)
        // With credentials the browser refuses an answer that allows only requests without.
        const status = expected[at] !== 'nothing' || (site === ALLOWED && way.includes('credentials')) ? 200 : 403
        const own = answers.filter((answer) => answer.startsWith(ANSWERS[at] ?? ''))
        t.ok(
          own.every((answer) => answer.endsWith(` ${status}`)),
          own.join(),
        )
      }
      await close()
    }
  })

  t.test(
    `in ${browser} neither site can read a token as a page, frame, picture or style`,
    { skip: missing(browser, 'openssl') },
    async (t) => {
      const at = 'https://agent.example/token'
      const world = await startWorld(t, {
        '/': html(
          `<iframe src="${at}"></iframe><img src="${at}"><object data="${at}.json"></object><embed src="${at}.js"><link rel="stylesheet" href="${at}">
         <video src="${at}"></video>`,
        ),
        '/moved': html(`<a href="${at}">go</a>`),
      })
      for (const site of [HOSTILE, ALLOWED]) {
        const { answers, close } = await world.open(browser, site, '/', { answers: 5 })
        for (const answer of answers) t.match(answer, / 403$/)
        await close()
        const moved = await world.open(browser, site, '/moved', { answers: 0 })
        await moved.tab.click('a')
        await moved.tab.waitForURL(at)
        t.notMatch(await moved.tab.content(), world.token)
        await moved.close()
      }
    },
  )
}
