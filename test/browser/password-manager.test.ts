import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { launchKeepingPasswords } from '../support/browser.ts'
import { freePort } from '../support/free-port.ts'
import { openAgent, PASSWORD } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { waitFor } from '../support/wait-for.ts'

t.test('the owner’s saved password never fills a token field', { skip: missing('chromium') }, async (t) => {
  // Over http: Chromium does not fill pages with an untrusted certificate.
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const agent = await openAgent(t, { env: { APP_URL: url, ALLOWED_DOMAINS: '' } })
  await agent.listen(port)
  const context = await launchKeepingPasswords(t)
  const tab = await context.newPage()
  await tab.goto('chrome://password-manager/passwords')
  const saved = { url: `${url}/admin/sign-in`, username: '', password: PASSWORD, note: '', useAccountStore: false }
  await waitFor('the password manager', () => tab.evaluate("typeof chrome.passwordsPrivate === 'object'"))
  await tab.evaluate(`new Promise((done) => chrome.passwordsPrivate.addPassword(${JSON.stringify(saved)}, done))`)

  await tab.goto(`${url}/admin/sign-in`)
  // Chromium fills after a click on the page. The filled sign-in shows that the password is saved.
  await tab.mouse.click(5, 5)
  await waitFor('the password to be filled in', async () => (await tab.getByLabel('Password').inputValue()) === PASSWORD)
  await tab.getByRole('button', { name: 'Sign in' }).click()
  await tab.waitForURL(`${url}/admin`)

  await tab.getByLabel(/Your web site/).pressSequentially('www.example.com')
  for (const id of ['token', 'token-of-named']) t.equal(await tab.locator(`#${id}`).inputValue(), '', 'typing a web site fills no field')
  await tab.getByText('With a name of your choice').click()
  await tab.locator('#name').fill('')
  await tab.locator('#name').pressSequentially('shop')
  t.equal(await tab.locator('#token-of-named').inputValue(), '', 'typing a name fills no field')
  await tab.getByRole('button', { name: 'Create' }).click()
  await tab.waitForURL(/\/admin\/accounts\/shop\?done=created/)
  t.match(await tab.locator('.facts').first().textContent(), /Token\s*none/)
  await tab.mouse.click(5, 5)
  t.equal(await tab.locator('#token').inputValue(), '', 'the same on the account’s page')
  t.notMatch(agent.stdout(), PASSWORD)
})

t.test('each token field opts out of every password manager', async (t) => {
  const folder = new URL('../../views/', import.meta.url)
  const fields = readdirSync(folder)
    .filter((file) => file.endsWith('.eta') && file !== 'sign-in.eta')
    .flatMap((file) => [...readFileSync(new URL(file, folder), 'utf8').matchAll(/<input[^>]*type="password"[^>]*>/g)].map(([tag]) => tag))
  t.ok(fields.length > 0)
  for (const field of fields) {
    for (const word of ['autocomplete="new-password"', 'data-1p-ignore', 'data-lpignore', 'data-bwignore', 'data-protonpass-ignore'])
      t.match(field, word)
  }
})
