import t, { type Test } from 'tap'
import { DEFAULT, type Kept } from '../support/accounts.ts'
import { createOwner, type OwnerWorld } from '../support/owner.ts'
import { startMailServer } from '../support/smtp.ts'
import { waitFor } from '../support/wait-for.ts'

/** A name that is never found: https://www.rfc-editor.org/rfc/rfc6761#section-6.4 */
const HOOK = 'https://alerts.invalid/canary-of-the-hook'
const TO = 'canary@shop.example'
const mailTo = (port: number) => ({ SMTP_URL: `smtp://127.0.0.1:${port}`, ALERT_EMAIL_TO: TO })
/** The last step alone. */
const stepOf = (page: string): string =>
  page.slice(page.search(/<li class="card [a-z]+-step" id="step-alerts"/), page.indexOf('</ol> <section'))
const tileOf = (page: string): string => page.slice(page.indexOf('<h3>Alerts'), page.indexOf('<h3>Tokens served'))

async function world(t: Test, env: Record<string, string>, accounts: readonly Kept[] = [DEFAULT]): Promise<OwnerWorld> {
  const made = await createOwner(t, { accounts, env })
  const tried = async (): Promise<boolean> => !/Not tried yet/.test(await made.owner.page('/setup'))
  await waitFor('the first test message', tried)
  return made
}

const press = async ({ owner }: OwnerWorld): Promise<string> => {
  const { status, location } = await owner.post('/admin/alerts/test')
  if (status !== 303 || location === null) throw new Error(`the button answers ${status}`)
  return location
}

t.test('without a place for alerts /setup shows the ways to one, and nothing needs attention', async (t) => {
  const { owner, stranger } = await world(t, {})
  for (const client of [owner, stranger]) {
    const page = await client.page('/setup')
    t.match(page, /All is set up: .* No alert has reached you yet; the last step says how one does\./)
    const step = stepOf(page)
    t.match(step, /optional-step.*Tell me when you need me.*Optional.*no message reaches you/)
    for (const way of ['Slack', 'Discord', 'Google Chat', 'Microsoft Teams', 'E-mail']) t.match(step, `<summary>${way}</summary>`)
    t.match(step, /ALERT_WEBHOOK_URL.*hooks\.slack\.com.*SMTP_URL.*ALERT_EMAIL_TO/)
    t.match(step, /href="#on-server">Where that is kept/)
    t.notMatch(step, /Send a test message/)
  }
  t.match(await stranger.page('/setup'), /ALERT_WEBHOOK_URL=https:\/\/hooks\.slack\.com/, 'the line for each platform')
  const status = await owner.page('/status')
  t.match(status, /big good.*Alerts<\/h3>.*Not set up.*href="\/setup#step-alerts">Choose a place/)
  t.notMatch(await stranger.page('/status'), /alert/i)
})

t.test('a message that arrived makes the step done; the button sends another and leads back to the step', async (t) => {
  const mail = await startMailServer(t, { authOptional: true })
  const one = await world(t, mailTo(mail.port))
  const { owner, stranger } = one
  t.equal(mail.received.length, 1)
  const page = await owner.page('/setup')
  t.match(page, /All is set up: your web site gets the current token, and the agent keeps it alive\.</)
  t.match(stepOf(page), /done-step.*E-mail<\/h3>.*Works.*The last message arrived just now, <time/)
  t.match(stepOf(page), /another place as well.*Slack/)
  t.notMatch(stepOf(page), /<summary>E-mail|The test message arrived/)
  const location = await press(one)
  t.equal(location, '/setup?tested=arrived#step-alerts')
  t.equal(mail.received.length, 2)
  t.match(stepOf(await owner.page(location)), /<p class="done" role="status">The test message arrived\./)
  t.match(tileOf(await owner.page('/status')), /Alerts: E-mail.*Works.*arrived just now, <time.*#step-alerts">Send a test message/)

  const seen = [await stranger.page('/status'), stepOf(await stranger.page(location))]
  t.match(seen[1], /done-step.*A place for alerts is set\. <a href="\/admin\/sign-in\?page=[^"]+">Sign in/)
  for (const shown of seen) t.notMatch(shown, /e-mail|test message arrived|last message|<form/i)
  for (const shown of [...seen, page]) t.notMatch(shown, /canary/)
  t.match(await stranger.post('/admin/alerts/test'), { status: 303, location: '/admin/sign-in' })
  t.equal(mail.received.length, 2)
})

t.test('a message that did not arrive says why and what to do, to the owner alone', async (t) => {
  const mail = await startMailServer(t, { authOptional: true })
  const one = await world(t, { ALERT_WEBHOOK_URL: HOOK, ...mailTo(mail.port) })
  const { owner, stranger } = one
  const location = await press(one)
  t.equal(location, '/setup?tested=failed#step-alerts')
  const page = await owner.page(location)
  t.match(page, /correct the steps marked “Needs attention”/)
  t.match(stepOf(page), /wrong-step.*class="problem" role="status">The test message did not arrive everywhere/)
  t.match(
    stepOf(page),
    /Webhook<\/h3>.*Does not work.*could not be reached \(E[A-Z_]+\)\. The agent tries again.*last try was just now, <time/,
  )
  t.match(stepOf(page), /No message has arrived yet.*E-mail<\/h3>.*Works.*class="main">Send a test message/)
  const status = await owner.page('/status')
  t.match(status, /big bad.*Needs attention.*The last alert by Webhook did not arrive: <a href="#alerts-webhook">see why/)
  t.match(tileOf(status), /Alerts: Webhook.*Does not work.*could not be reached.*Alerts: E-mail.*Works/)
  t.match((await owner.get('/readyz')).text, /"ready":true.*"alerts":\{"state":"down"/)

  t.match(stepOf(await stranger.page(location)), /wrong-step/)
  t.match(await stranger.page('/status'), /big good/, 'web sites get their tokens')
  for (const shown of [await stranger.page('/status'), stepOf(await stranger.page(location))])
    t.notMatch(shown, /webhook|e-mail|reached|did not arrive|<form/i)
  for (const shown of [page, status, await stranger.page(location)]) t.notMatch(shown, /canary|alerts\.invalid/)
})

t.test('a link cannot claim a test that went otherwise', async (t) => {
  const { owner, agent } = await world(t, { ALERT_WEBHOOK_URL: HOOK })
  for (const claim of ['arrived', 'none', 'toString', '__proto__', '<b>', 'x'.repeat(3_000)])
    t.notMatch(stepOf(await owner.page(`/setup?tested=${encodeURIComponent(claim)}`)), /role="status"|<b>/, claim.slice(0, 20))
  t.match(stepOf(await owner.page('/setup?tested=failed&tested=failed')), /wrong-step/)
  // Another instance has sent one since.
  agent.sql("update alert_channels set last_ok_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), last_error = null")
  t.match(stepOf(await owner.page('/setup?tested=arrived')), /done-step.*The test message arrived/)
})

t.test('each error of a channel has its remedy', async (t) => {
  const { owner, agent } = await world(t, { ALERT_WEBHOOK_URL: HOOK })
  const cases: Record<string, RegExp> = {
    'the webhook answered with HTTP 404: it may have been deleted, so make a new one': /Put its address into ALERT_WEBHOOK_URL/,
    'the webhook answered with HTTP 403 and refuses the address': /Make a new address there/,
    'the webhook answered with HTTP 302, and redirects are not followed': /Make a new address there/,
    'the webhook answered with HTTP 400 and refuses the message': /Copy the whole address once more/,
    'the webhook answered with HTTP 429 because it gets too many messages': /tries again with the next alert/,
    'the webhook answered with HTTP 502': /tries again with the next alert/,
    'the webhook did not answer within 5 seconds': /tries again with the next alert/,
    'the host of ALERT_WEBHOOK_URL has an address that is not on the public Internet, which is refused': /Copy the whole address once more/,
    'the mail server refuses the user or the password in SMTP_URL (SMTP 535)': /an app password alone/,
    'the mail server offers no sign-in; take user and password out of SMTP_URL or name another port': /Correct SMTP_URL/,
    'the mail server offers no encryption that works, and without it the password in SMTP_URL is not sent': /server and port/,
    'the certificate of the mail server is not trusted (CERT_HAS_EXPIRED)': /server and port/,
    'the name of the mail server in SMTP_URL cannot be found': /take 587 or 465/,
    'the mail server cannot be reached (ECONNREFUSED)': /take 587 or 465/,
    'the mail server did not take the message within 15 seconds': /take 587 or 465/,
    'the mail server does not answer': /take 587 or 465/,
    'the mail server closed the connection': /take 587 or 465/,
    'the mail server refuses the sender (SMTP 550)': /a user in SMTP_URL who may send/,
    'the mail server refuses every address in ALERT_EMAIL_TO (SMTP 550)': /Correct the addresses in ALERT_EMAIL_TO/,
    'the mail server asks to come back later (SMTP 450)': /tries again with the next alert/,
    'the sentence of another release': /tries again with the next alert/,
  }
  for (const [why, remedy] of Object.entries(cases)) {
    agent.sql(`update alert_channels set last_error = 'The alert was not delivered: ${why}.'`)
    const step = stepOf(await owner.page('/setup'))
    t.ok(step.includes(`The alert was not delivered: ${why}.`), why)
    t.match(step, remedy, why)
  }
})

t.test('a hostile name, error or address of another release stays text on every page', async (t) => {
  const hostile = [
    '<!channel> <@U1> @everyone <script>alert(1)</script> <img src=x onerror=alert(1)>',
    '[click](https://evil.example) <a href="https://evil.example">click</a>',
    '"\'><form action=https://evil.example><button formaction="//evil.example">',
    'javascript:alert(1) \u202egpj.exe\u2066 \u200f\r\nX: y\u2028z \u0007',
    '<% it.settings %> <%= 1 %> &lt;evil&gt;',
    `${'<evil>'.repeat(1_707)}`,
  ]
  const accounts = hostile.map((text, n): Kept => {
    const refused = { state: 'reconnect', failureCount: 2, lastErrorCode: 'reconnect' } as const
    return { name: `shop-${n}`, username: text, ...refused, lastError: text, attempts: ['ok', text] }
  })
  const { owner, stranger, agent } = await world(t, { ALERT_WEBHOOK_URL: HOOK }, accounts)
  const quoted = (text: string): string => text.replaceAll("'", "''")
  for (const [n, text] of hostile.entries()) {
    agent.sql(`update alert_channels set last_error = '${quoted(text)}'`)
    for (const path of [
      '/status',
      '/setup',
      `/setup?tested=${encodeURIComponent(text)}`,
      '/admin',
      `/admin/accounts/shop-${n}`,
      '/admin/history',
    ]) {
      const { status, text: shown } = await owner.get(path, { accept: 'text/html' })
      if (path.length < 2_000) t.equal(status, 200, `${path.slice(0, 40)}, text ${n}`)
      const tags = shown.match(/<[^>]*>/g) ?? []
      const foreign = tags.filter((tag) => /evil|onerror|javascript:|<!channel|<@|<script(?! src="\/page)|src=x/i.test(tag))
      t.strictSame(foreign, [], `${path.slice(0, 40)}, text ${n}`)
      if (path === '/status') t.match(shown, /&lt;!channel&gt;.*&lt;img src=x/s, 'the text itself is shown')
    }
    for (const path of ['/status', '/setup']) t.notMatch(await stranger.page(path), /evil|!channel|alert\(1\)|egpj/, `${path} of a visitor`)
  }
})
