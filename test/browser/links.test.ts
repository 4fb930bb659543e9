import t from 'tap'
import { launchBrowser } from '../support/browser.ts'
import { openAgent, PASSWORD, served } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { proxyTo, startSites } from '../support/sites.ts'

const AGENT = 'https://agent.example'
const USER = '17841400379535405'
const PHONE = { viewport: { width: 390, height: 800 } }

t.test('the owner makes a link, another browser uses it, a third is refused', { skip: missing('chromium', 'openssl') }, async (t) => {
  const env = { APP_URL: AGENT, INSTAGRAM_WEB_URL: 'https://www.instagram.example' }
  const agent = await openAgent(t, { env, knobs: { consent: 'page', signedInAs: USER } })
  const sites = await startSites(t, {
    'agent.example': proxyTo(`http://127.0.0.1:${await agent.listen()}`),
    'www.instagram.example': proxyTo(agent.instagram.url),
    'chat.example': (_request, response) => {
      response.setHeader('content-type', 'text/html')
      response.end(
        `<!doctype html><title>Chat</title><form method="post" action="${AGENT}${new URL(ofA).pathname}"><button>Win</button></form>`,
      )
    },
  })
  const browser = await launchBrowser(t, 'chromium', sites)
  const open = async () => (await browser.newContext(PHONE)).newPage()
  const fits = (page: Awaited<ReturnType<typeof open>>) => page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth')
  const owner = await open()
  await owner.goto(`${AGENT}/admin`)
  await owner.getByLabel('Password').fill(PASSWORD)
  await owner.getByRole('button', { name: 'Sign in' }).click()
  await owner.waitForURL(`${AGENT}/admin`)
  const make = async (account: string, note: string): Promise<string> => {
    await owner.goto(`${AGENT}/admin`)
    if (account === 'ana') await owner.getByText('With a name of your choice').click()
    await owner.locator('#name').fill(account)
    await owner.getByRole('button', { name: 'Create' }).click()
    await owner.waitForURL(/done=created/)
    await owner.getByLabel('Your words to the client').fill(note)
    await owner.getByRole('button', { name: 'Make a link for the client' }).click()
    t.ok(await fits(owner), 'nothing is wider than a phone')
    return (await owner.locator('#made-link').textContent()) ?? ''
  }
  const ofA = await make('ana', 'Hello Ana, this is Moss & Clay.')
  const ofB = await make('ben', 'Hello Ben.')

  // The links of two clients in two tabs of one browser; the first one opens in the background.
  const first = await open()
  await first.goto(ofB)
  const second = await first.context().newPage()
  await second.goto(ofA)
  t.match(await second.textContent('body'), /Hello Ana, this is Moss & Clay\./)
  t.ok(await fits(second), 'nothing is wider than a phone')
  await second.getByRole('button', { name: 'Connect Instagram' }).click()
  await second.waitForURL('https://www.instagram.example/**')
  await first.getByRole('button', { name: 'Connect Instagram' }).click()
  await first.waitForURL('https://www.instagram.example/**')
  t.notMatch(await first.evaluate<string>('document.referrer'), 'invite', 'the provider does not see the link')
  await second.getByRole('button', { name: 'Allow' }).click()
  t.match(await second.getByRole('alert').textContent(), /does not belong to a request of yours/)
  await first.getByRole('button', { name: 'Allow' }).click()
  // Instagram appends `#_` to the callback.
  await first.waitForURL(`${ofB}#_`)
  t.match(await first.getByRole('status').textContent(), /Thank you/)
  t.ok(await fits(first), 'nothing is wider than a phone')
  const waiting = () =>
    agent.sql<{ account: string }>('select account from connect_links where sealed is not null').map(({ account }) => account)
  t.same(waiting(), ['ben'], 'a grant lands at its own account or nowhere')

  // Another site cannot press the button.
  const victim = await open()
  await victim.goto('https://chat.example/')
  await victim.getByRole('button', { name: 'Win' }).click()
  t.match(await victim.getByRole('alert').textContent(), /another web site/)

  const third = await open()
  await third.goto(ofB)
  t.equal(await third.getByRole('button').count(), 0, 'a third browser is refused')
  await third.goto(`${AGENT}/admin`)
  t.match(third.url(), /\/admin\/sign-in/)

  t.match(await served(agent, '/accounts/ben/token.json'), { token: null })
  await owner.goto(`${AGENT}/admin`)
  await owner.getByText('waits for your yes or no').getByRole('link').click()
  await owner.getByRole('button', { name: 'Yes, take it' }).click()
  t.match(await owner.getByRole('status').first().textContent(), /permission was taken/)
  t.match(agent.instagram.issued.get((await served(agent, '/accounts/ben/token.json')).token ?? ''), { userId: USER, life: 'long' })
  t.same(waiting(), [])
})
