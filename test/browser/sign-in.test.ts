import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { type OpenAgent, PASSWORD } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { AGENT, startOwnersAgent } from './owners-agent.ts'

const skip = missing('chromium')
const SIGN_IN = `${AGENT}/admin/sign-in`

/** Takes the turns of other sign-ins for so long. */
function takeTurns(agent: OpenAgent, seconds: number): void {
  const until = new Date(Date.now() + seconds * 1000).toISOString()
  agent.sql(
    `insert into sign_in_attempts (source, failures, last_at, blocked_until) values ('turn', 0, '${until}', '${until}')
    on conflict (source) do update set blocked_until = excluded.blocked_until`,
  )
}

async function fillIn(tab: Page, password: string): Promise<void> {
  await tab.getByLabel('Password').fill(password)
  await tab.keyboard.press('Enter')
}

/** Everything that a browser stores or shows of a page, except the field's value. */
const kept = (tab: Page): Promise<string> =>
  tab.evaluate<string>(
    'JSON.stringify([location.href, { ...localStorage }, { ...sessionStorage }, history.state, document.cookie, document.documentElement.outerHTML])',
  )

t.test('the page retries by itself, with the password only in its field', { skip }, async (t: Test) => {
  const { agent, browser } = await startOwnersAgent(t, [])
  const tab = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage()
  const sent: string[] = []
  tab.on('request', (request) => void sent.push(request.url()))
  await tab.goto(SIGN_IN)
  takeTurns(agent, 4)
  await fillIn(tab, PASSWORD)
  await tab.getByText('You are not locked out').waitFor()
  t.match(await tab.getByRole('status').textContent(), /four a second.*not locked out. This page tries again by itself/)
  t.equal(await tab.getByLabel('Password').inputValue(), PASSWORD)
  t.ok(await tab.getByRole('button', { name: 'Waiting…' }).isDisabled())
  t.notMatch((await kept(tab)) + sent.join(), PASSWORD.slice(0, 10))
  await tab.waitForURL(`${AGENT}/admin`)
})

t.test('a wrong password is reported in place, and the next one can be typed at once', { skip }, async (t: Test) => {
  const { browser } = await startOwnersAgent(t, [])
  const tab = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage()
  await tab.goto(SIGN_IN)
  await fillIn(tab, 'not the password')
  await tab.getByRole('alert').getByText('This is not the password').waitFor()
  t.equal(tab.url(), SIGN_IN)
  t.equal(await tab.getByLabel('Password').inputValue(), '')
  await tab.keyboard.type(PASSWORD)
  await tab.keyboard.press('Enter')
  await tab.waitForURL(`${AGENT}/admin`)
})

t.test('without script there is a button, and password managers find a user name field', { skip }, async (t: Test) => {
  const { agent, browser } = await startOwnersAgent(t, [])
  const tab = await (await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false })).newPage()
  await tab.goto(SIGN_IN)
  const name = tab.locator('form input[autocomplete=username]')
  t.strictSame([await name.count(), await name.isVisible()], [1, false])
  takeTurns(agent, 4)
  await fillIn(tab, PASSWORD)
  await tab.getByText('You are not locked out').waitFor()
  t.notMatch(await tab.content(), PASSWORD.slice(0, 10))
  takeTurns(agent, 0)
  await tab.getByRole('button', { name: 'Try again' }).click()
  await tab.waitForURL(`${AGENT}/admin`)
})
