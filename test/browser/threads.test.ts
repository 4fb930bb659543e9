import t from 'tap'
import { launchBrowser } from '../support/browser.ts'
import { startThreads } from '../support/instagram.ts'
import { openAgent, PASSWORD, threadsSettings } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { pages, proxyTo, startSites } from '../support/sites.ts'

const AGENT = 'https://agent.example'
const USER = '17841400379535405'

t.test('an account of Threads is connected, and a page gets its token', { skip: missing('chromium', 'openssl') }, async (t) => {
  const threads = await startThreads({ knobs: { consent: 'page', signedInAs: USER } })
  t.teardown(() => threads.close())
  threads.apps[0]?.redirectUris.push(`${AGENT}/connect/threads/callback`)
  const env = { APP_URL: AGENT, ...threadsSettings(threads), THREADS_WEB_URL: 'https://threads.example' }
  const agent = await openAgent(t, { env })
  const shop = { body: '' }
  const sites = await startSites(t, {
    'agent.example': proxyTo(`http://127.0.0.1:${await agent.listen()}`),
    'threads.example': proxyTo(threads.url),
    'shop.example': (request, response) => pages({ '/': shop.body })(request, response),
  })
  const browser = await launchBrowser(t, 'chromium', sites)
  const page = await browser.newPage()
  await page.goto(`${AGENT}/admin`)
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${AGENT}/admin`)

  const connect = async (answer: 'Allow' | 'Cancel'): Promise<void> => {
    await page.goto(`${AGENT}/connect/threads`)
    await page.getByRole('button', { name: 'Connect Threads' }).click()
    await page.waitForURL('https://threads.example/**')
    await page.getByRole('button', { name: answer }).click()
  }
  await connect('Cancel')
  t.match(await page.getByRole('alert').textContent(), /Threads says that the request was declined/)
  await connect('Allow')
  await page.waitForURL(/\/admin\/accounts\/threads\?done=connected/)
  t.match(await page.getByRole('status').textContent(), /Connected/)

  const snippet = (await page.locator('#snippet').textContent()) ?? ''
  t.match(snippet, `<script src="${AGENT}/token.js"`, 'the first account is the default')
  shop.body = `<!doctype html><title>Shop</title>${snippet}<script>document.title = globalThis.ThreadsToken ?? 'none'</script>`
  const visitor = await (await browser.newContext()).newPage()
  await visitor.goto('https://shop.example/')
  t.match(threads.issued.get(await visitor.title()), { life: 'long', userId: USER })
  t.notMatch(await page.content(), (await visitor.title()).slice(0, 12))
})
