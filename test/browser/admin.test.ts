import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { launchBrowser } from '../support/browser.ts'
import { openAgent } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { pages, proxyTo, startSites } from '../support/sites.ts'

const skip = missing('chromium', 'openssl')
const AGENT = 'https://agent.example'
const ONE_TIME = /use this password: ([\w-]{20})/

/** The agent and Instagram over https, an allowed shop, an evil site, and a sister host of the agent. */
async function setUp(t: Test) {
  const env = { ADMIN_PASSWORD: '', APP_URL: AGENT, INSTAGRAM_WEB_URL: 'https://www.instagram.example' }
  const agent = await openAgent(t, { env, knobs: { consent: 'page', signedInAs: '17841400379535405' } })
  const { instagram } = agent
  const shop = { body: '' }
  const evil: Record<string, string> = {}
  const sites = await startSites(t, {
    'agent.example': proxyTo(`http://127.0.0.1:${await agent.listen()}`),
    'www.instagram.example': proxyTo(instagram.url),
    'shop.example': (request, response) => pages({ '/': shop.body })(request, response),
    'evil.example': (request, response) => pages(evil)(request, response),
    'sister.agent.example': (request, response) => pages(evil)(request, response),
  })
  const browser = await launchBrowser(t, 'chromium', sites)
  const context = await browser.newContext()
  const page = await context.newPage()
  const signIn = async (): Promise<void> => {
    await page.goto(`${AGENT}/admin`)
    await page.getByLabel('Password').fill(ONE_TIME.exec(agent.stdout())?.[1] ?? '')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(`${AGENT}/admin`)
  }
  return { instagram, agent, shop, evil, browser, context, page, signIn }
}

async function connectDefault(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Connect Instagram' }).click()
  await page.waitForURL('https://www.instagram.example/**')
  await page.getByRole('button', { name: 'Allow' }).click()
  // Instagram's own `#_` is still there: browsers carry a fragment over a redirect.
  await page.waitForURL(/\/admin\/accounts\/default\?done=connected/)
}

t.test('first run: sign in, connect, copy the snippet, and the shop has the token, all without JavaScript', { skip }, async (t) => {
  const { instagram, shop, browser, context, page, signIn } = await setUp(t)
  await signIn()
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Accounts')
  const cookies = await context.cookies(AGENT)
  t.strictSame(cookies.map(({ name }) => name).sort(), ['__Host-token-agent-device', '__Host-token-agent-session'])
  for (const cookie of cookies) t.match(cookie, { httpOnly: true, secure: true, sameSite: 'Lax', path: '/' })

  await page.getByRole('button', { name: 'Connect Instagram' }).click()
  await page.waitForURL('https://www.instagram.example/**')
  await page.getByRole('button', { name: 'Cancel' }).click()
  t.match(await page.getByRole('alert').textContent(), /was declined/)
  await page.getByRole('link', { name: 'Back to the accounts' }).click()
  await connectDefault(page)
  t.match(await page.getByRole('status').textContent(), /Connected/)

  const snippet = (await page.locator('#snippet').textContent()) ?? ''
  t.match(snippet, `<script src="${AGENT}/token.js" crossorigin="anonymous"\nonerror="`)
  shop.body = `<!doctype html><title>Shop</title>${snippet}<script>document.title = globalThis.InstagramToken ?? 'none'</script>`
  const visitor = await (await browser.newContext()).newPage()
  await visitor.goto('https://shop.example/')
  const token = await visitor.title()
  t.equal(instagram.issued.get(token)?.userId, '17841400379535405')
  t.equal(instagram.issued.get(token)?.life, 'long')
  t.notMatch(await page.content(), token.slice(0, 12))

  const noScript = await browser.newContext({ javaScriptEnabled: false })
  await noScript.addCookies(cookies)
  const plain = await noScript.newPage()
  await plain.goto(`${AGENT}/admin/accounts/default`)
  await plain.getByLabel(/Web sites, one a line/).fill('evil.example/path')
  await plain.getByRole('button', { name: 'Save the list' }).click()
  t.match(await plain.getByRole('alert').textContent(), /has a path/)
  await plain.getByRole('button', { name: 'Pause' }).click()
  t.match(await plain.getByRole('status').textContent(), /paused/)
  await plain.getByRole('button', { name: 'Switch on again' }).click()
  await plain.goto(`${AGENT}/admin`)
  await plain.getByRole('button', { name: /Connect Instagram/ }).scrollIntoViewIfNeeded()
  await plain.locator('#connect-instagram').fill('default')
  await plain.getByRole('button', { name: /Connect Instagram/ }).click()
  await plain.waitForURL('https://www.instagram.example/**')
  await plain.getByRole('button', { name: 'Allow' }).click()
  await plain.waitForURL(/done=connected/)

  await page.goto(`${AGENT}/admin`)
  await page.getByRole('button', { name: 'Sign out', exact: true }).click()
  await page.goto(`${AGENT}/admin`)
  t.equal(page.url(), `${AGENT}/admin/sign-in`)
})

t.test('evil pages, one on a sister host too, can do nothing with the owner’s session', { skip }, async (t) => {
  const { agent, evil, context, page, signIn } = await setUp(t)
  await signIn()
  await connectDefault(page)
  const form = (action: string, fields: Record<string, string>): string => {
    const inputs = Object.entries(fields).map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`)
    return `<!doctype html><form method="post" action="${AGENT}${action}">${inputs.join('')}</form><script>document.forms[0].submit()</script>`
  }
  const attacks: [string, Record<string, string>][] = [
    ['/admin/sign-out-everywhere', {}],
    ['/admin/accounts', { name: 'evil', provider: 'instagram' }],
    ['/admin/accounts/default/domains', { domains: 'evil.example' }],
    ['/admin/accounts/default/token', { token: 'IGAAevil', otherUser: 'yes' }],
    ['/admin/accounts/default/pause', {}],
    ['/admin/accounts/default/remove', { name: 'default' }],
    ['/connect/instagram', { account: 'default' }],
    ['/admin/sign-in', { password: 'guess' }],
  ]
  evil['/'] = '<!doctype html><title>evil</title>'
  for (const [index, [action, fields]] of attacks.entries()) evil[`/${index}`] = form(action, fields)
  const bad = await context.newPage()
  // Lax withholds the cookie from cross-site forms, but not from the sister host's.
  for (const host of ['https://evil.example', 'https://sister.agent.example']) {
    for (const [index, [action]] of attacks.entries()) {
      const answered = bad.waitForResponse((response) => response.url() === AGENT + action)
      await bad.goto(`${host}/${index}`)
      t.equal((await answered).status(), 403, `${action} from ${host}`)
    }
    await bad.goto(host)
    const sent = await bad.evaluate(async (url) => {
      const init: RequestInit = { method: 'POST', credentials: 'include', mode: 'no-cors', body: new URLSearchParams({ name: 'default' }) }
      await fetch(`${url}/admin/accounts/default/remove`, init).catch(() => undefined)
      const read = await fetch(`${url}/admin`, { credentials: 'include' }).then(
        (answer) => answer.text(),
        () => 'refused',
      )
      return read
    }, AGENT)
    t.equal(sent, 'refused', 'they cannot read a page')
  }
  await page.goto(`${AGENT}/admin/accounts/default`)
  t.match(await page.locator('.condition').textContent(), 'working')
  t.equal(await page.getByLabel(/Web sites, one a line/).inputValue(), '')
  t.equal((await agent.fetch('/accounts/evil/token.json', { headers: { origin: 'https://shop.example' } })).status, 404)
})

t.test('the owner’s pages cannot be framed, and run no inline script', { skip }, async (t) => {
  const { evil, context, page, signIn } = await setUp(t)
  await signIn()
  evil['/'] = `<!doctype html><iframe id="a" src="${AGENT}/admin"></iframe><iframe id="b" src="${AGENT}/admin/sign-in"></iframe>`
  for (const host of ['https://evil.example', 'https://sister.agent.example']) {
    const bad = await context.newPage()
    await bad.goto(host)
    await bad.waitForLoadState('networkidle')
    for (const frame of bad.frames().slice(1)) t.match(frame.url(), /^(chrome-error:|about:blank)/, 'the frame stays empty')
  }
  await page.goto(`${AGENT}/admin`)
  const inject = "const s = document.createElement('script'); s.textContent = 'document.title = \"owned\"'; document.body.append(s)"
  await page.evaluate(inject)
  t.not(await page.title(), 'owned')
})

t.test('signing in replaces a session planted by an attacker', { skip }, async (t) => {
  const { browser, context, page, signIn } = await setUp(t)
  const planted = 'p'.repeat(43)
  const cookie = { name: '__Host-token-agent-session', value: planted, url: AGENT, secure: true }
  await context.addCookies([cookie])
  await signIn()
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Accounts')
  const attacker = await browser.newContext()
  await attacker.addCookies([cookie])
  const theirs = await attacker.newPage()
  await theirs.goto(`${AGENT}/admin`)
  t.equal(theirs.url(), `${AGENT}/admin/sign-in`)
})

t.test('an attacker’s callback link does not connect the attacker’s account', { skip }, async (t) => {
  const { agent, evil, instagram, context, signIn } = await setUp(t)
  await signIn()
  // The attacker's own code, with a made-up state and without one.
  const authorize = new URL('/oauth/authorize', instagram.url)
  const redirect_uri = `${AGENT}/connect/instagram/callback`
  authorize.search = new URLSearchParams({
    client_id: instagram.apps[0]?.clientId ?? '',
    redirect_uri,
    response_type: 'code',
    scope: 'instagram_business_basic',
    decision: 'approve',
  }).toString()
  instagram.apps[0]?.redirectUris.push(redirect_uri)
  const pressed = await fetch(`${instagram.url}/oauth/authorize`, { method: 'POST', body: authorize.searchParams, redirect: 'manual' })
  const code = new URL(pressed.headers.get('location') ?? '').searchParams.get('code')
  for (const query of [`code=${code}&state=${'A'.repeat(43)}`, `code=${code}`]) {
    evil['/'] = `<!doctype html><script>location.href = ${JSON.stringify(`${AGENT}/connect/instagram/callback?${query}`)}</script>`
    const bad = await context.newPage()
    await bad.goto('https://evil.example/')
    await bad.waitForURL(`${AGENT}/**`)
    t.match(await bad.getByRole('alert').textContent(), /does not belong to a request of yours/)
  }
  t.equal((await agent.fetch('/token.json', { headers: { origin: 'https://shop.example' } })).status, 503)
})

t.test('a foreign site that includes the agent’s scripts gets nothing', { skip }, async (t) => {
  const { evil, context, page, signIn } = await setUp(t)
  await signIn()
  await connectDefault(page)
  evil['/'] = `<!doctype html><title>evil</title>${['/token.js', '/accounts/default/token.js', '/admin', '/admin/accounts/default']
    .flatMap((path) => [`<script src="${AGENT}${path}"></script>`, `<script src="${AGENT}${path}" crossorigin="use-credentials"></script>`])
    .join('')}<script>document.title = String(globalThis.InstagramToken)</script>`
  const bad = await context.newPage()
  await bad.goto('https://evil.example/')
  t.equal(await bad.title(), 'undefined')
})
