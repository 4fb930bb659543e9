import t from 'tap'
import { launchBrowser } from '../support/browser.ts'
import { startFacebook } from '../support/facebook.ts'
import { facebookSettings, openAgent, PASSWORD } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { proxyTo, startSites } from '../support/sites.ts'

const AGENT = 'https://agent.example'

t.test('one of thirty accounts of a login is connected', { skip: missing('chromium', 'openssl') }, async (t) => {
  const meta = await startFacebook({ knobs: { consent: 'page', pages: 30 } })
  t.teardown(() => meta.close())
  const env = { APP_URL: AGENT, ...facebookSettings(meta), FACEBOOK_WEB_URL: 'https://facebook.example' }
  meta.redirectUris.push(`${AGENT}/connect/facebook/callback`)
  const agent = await openAgent(t, { env })
  const sites = await startSites(t, {
    'agent.example': proxyTo(`http://127.0.0.1:${await agent.listen()}`),
    'facebook.example': proxyTo(meta.url),
  })
  const browser = await launchBrowser(t, 'chromium', sites)
  const page = await (await browser.newContext({ viewport: { width: 390, height: 800 } })).newPage()
  await page.goto(`${AGENT}/admin`)
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${AGENT}/admin`)
  const connect = async (answer: 'Continue' | 'Cancel'): Promise<void> => {
    await page.goto(`${AGENT}/connect/facebook`)
    await page.getByRole('button', { name: 'Connect Facebook' }).click()
    await page.waitForURL('https://facebook.example/**')
    await page.getByRole('button', { name: answer }).click()
  }
  await connect('Cancel')
  t.match(await page.getByRole('alert').textContent(), /Facebook says that the request was declined/)
  await connect('Continue')
  await page.getByRole('heading', { name: 'Which account?' }).waitFor()
  t.ok(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), 'nothing is wider than a phone')
  await page.getByRole('button', { name: /@shop\.17/ }).click()
  await page.waitForURL(/\/admin\/accounts\/facebook\?done=connected/)
  t.match(await page.textContent('body'), /@shop\.17/)
  t.match(await page.textContent('body'), /servers/, 'and it says who gets the token')
})
