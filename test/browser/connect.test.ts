import type { BrowserContextOptions, Page } from 'playwright-core'
import t from 'tap'
import { launchBrowser } from '../support/browser.ts'
import { startFacebook } from '../support/facebook.ts'
import { startThreads } from '../support/instagram.ts'
import { facebookSettings, openAgent, PASSWORD, SERVER_KEY, threadsSettings } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { pages, proxyTo, startSites } from '../support/sites.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'

// Instagram's trip is part of admin.test.ts.

const AGENT = 'https://agent.example'
const USER = '17841400379535405'
const PHONE: BrowserContextOptions = { viewport: { width: 390, height: 800 } }

t.test('accounts of three providers are connected side by side', { skip: missing('chromium', 'openssl') }, async (t) => {
  const threads = await startThreads({ knobs: { consent: 'page', signedInAs: USER } })
  const facebook = await startFacebook({ knobs: { consent: 'page', pages: 30 } })
  const tiktok = await startTikTok({ knobs: { consent: 'page' } })
  for (const one of [threads, facebook, tiktok]) t.teardown(() => one.close())
  threads.apps[0]?.redirectUris.push(`${AGENT}/connect/threads/callback`)
  facebook.redirectUris.push(`${AGENT}/connect/facebook/callback`)
  const env = {
    SERVER_KEYS: SERVER_KEY,
    ...threadsSettings(threads),
    ...facebookSettings(facebook),
    ...tiktokSettings(tiktok, AGENT),
    THREADS_WEB_URL: 'https://threads.example',
    FACEBOOK_WEB_URL: 'https://facebook.example',
    TIKTOK_WEB_URL: 'https://tiktok.example',
    TIKTOK_SCOPES: 'user.info.basic,video.publish',
    APP_URL: AGENT,
  }
  const agent = await openAgent(t, { env })
  const shop = { body: '' }
  const sites = await startSites(t, {
    'agent.example': proxyTo(`http://127.0.0.1:${await agent.listen()}`),
    'threads.example': proxyTo(threads.url),
    'facebook.example': proxyTo(facebook.url),
    'tiktok.example': proxyTo(tiktok.url),
    'shop.example': (request, response) => pages({ '/': shop.body })(request, response),
  })
  const browser = await launchBrowser(t, 'chromium', sites)
  const page = await (await browser.newContext(PHONE)).newPage()
  await page.goto(`${AGENT}/admin`)
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${AGENT}/admin`)

  const connect = async (title: string, answer: string): Promise<void> => {
    const provider = title.toLowerCase()
    await page.goto(`${AGENT}/connect/${provider}`)
    await page.getByRole('button', { name: `Connect ${title}` }).click()
    await page.waitForURL(`https://${provider}.example/**`)
    await page.getByRole('button', { name: answer }).click()
  }
  const isConnected = async (provider: string): Promise<string> => {
    await page.waitForURL(new RegExp(`^${AGENT}/admin/accounts/${provider}\\?done=connected`))
    t.match(await page.getByRole('status').first().textContent(), /Connected/)
    t.ok(await fits(page), 'nothing is wider than a phone')
    return (await page.textContent('body')) ?? ''
  }

  for (const [title, no, yes] of [
    ['Threads', 'Cancel', 'Allow'],
    ['Facebook', 'Cancel', 'Continue'],
    ['TikTok', 'deny', 'approve'],
  ] as const) {
    await t.test(title, async (t) => {
      await connect(title, no)
      t.match(await page.getByRole('alert').textContent(), `${title} says that the request was declined`)
      t.ok(await fits(page), 'nothing is wider than a phone')
      await connect(title, yes)
      if (title === 'Threads') {
        await isConnected('threads')
        const snippet = (await page.locator('#snippet').textContent()) ?? ''
        t.match(snippet, `<script src="${AGENT}/token.js"`, 'the first account is the default')
        shop.body = `<!doctype html><title>Shop</title>${snippet}<script>document.title = globalThis.ThreadsToken ?? 'none'</script>`
        const visitor = await (await browser.newContext()).newPage()
        await visitor.goto('https://shop.example/')
        t.match(threads.issued.get(await visitor.title()), { life: 'long', userId: USER })
        t.notMatch(await page.content(), (await visitor.title()).slice(0, 12))
      } else if (title === 'Facebook') {
        await page.getByRole('heading', { name: 'Which account?' }).waitFor()
        t.ok(await fits(page), 'nothing is wider than a phone')
        await page.getByRole('button', { name: /@shop\.17/ }).click()
        t.match(await isConnected('facebook'), /@shop\.17.*servers/s, 'and it says who gets the token')
      } else {
        const body = await isConnected('tiktok')
        t.match(body, /Ana’s Café 🎂.*servers/s)
        t.match(body, /Posts of this account may be for.*at most five users/s, 'the limits of posting')
        const answer = await agent.fetch('/accounts/tiktok/token', { headers: { authorization: `Bearer ${SERVER_KEY}` } })
        const token = await answer.text()
        t.ok(tiktok.isAlive(token))
        t.notMatch(await page.content(), token.slice(0, 12))
      }
    })
  }
  await page.goto(`${AGENT}/admin`)
  t.equal(await page.locator('.accounts > li').count(), 3)
})

const fits = (page: Page): Promise<boolean> => page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth')
