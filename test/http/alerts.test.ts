import t from 'tap'
import { runCli } from '../support/agent.ts'
import { createOwner, openAgent } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { LOGIN, type MailServer, startMailServer } from '../support/smtp.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'

const skip = missing('openssl')
const METRICS_KEY = 'metrics-key-0123456789'

const mailSettings = ({ port }: Pick<MailServer, 'port'>): Record<string, string> => ({
  SMTP_URL: `smtp://${encodeURIComponent(LOGIN.user)}:${encodeURIComponent(LOGIN.password)}@127.0.0.1:${port}`,
  ALERT_EMAIL_TO: 'me@example.com',
})
const subjects = ({ received }: MailServer): (string | undefined)[] => received.map(({ raw }) => /^Subject: (.*)\r$/m.exec(raw)?.[1])

t.test('the button tries the channel; the last delivery is public as up or down, and never changes ready', { skip }, async (t) => {
  const server = await startMailServer(t)
  const { agent, owner, stranger } = await createOwner(t, { env: { ...mailSettings(server), METRICS_KEY } })
  await waitFor('the first message to a new target', () => server.received.length === 1)
  const alerts = async () => {
    const response = await agent.fetch('/readyz')
    const { ready, parts } = (await response.json()) as { ready: boolean; parts: Record<string, object | undefined> }
    return { status: response.status, ready, part: parts['alerts'] }
  }
  const metrics = async (): Promise<string> => {
    const response = await agent.fetch('/metrics', { headers: { authorization: `Bearer ${METRICS_KEY}` } })
    return response.text()
  }
  const press = async (client = owner): Promise<string | null> => (await client.post('/admin/alerts/test')).headers.get('location')

  await waitFor('the delivery to be noted', async () => (await alerts()).part !== undefined)
  t.match(await alerts(), { status: 200, ready: true, part: { state: 'up', since: String } })
  t.equal(await press(), '/setup?tested=arrived#step-alerts')
  t.strictSame(subjects(server), ['A test of the alerts', 'A test of the alerts'])
  t.match(await metrics(), /^token_agent_alert_channel_up\{channel="email"\} 1$/m)
  t.match(await metrics(), /^token_agent_alert_channel_last_success_timestamp_seconds\{channel="email"\} 1\d{9}(\.\d+)?$/m)
  t.equal(await press(stranger), '/admin/sign-in')
  t.equal(server.received.length, 2, 'a stranger sends nothing')

  server.isRefusing = true
  t.equal(await press(), '/setup?tested=failed#step-alerts')
  const down = await alerts()
  t.match(down, { status: 200, ready: true, part: { state: 'down', since: String } })
  t.strictSame(Object.keys(down.part ?? {}).toSorted(), ['since', 'state'], 'no word of why')
  t.match(await metrics(), /^token_agent_alert_channel_up\{channel="email"\} 0$/m)
  const stored = agent.sql('select * from alert_channels')
  t.match(stored, [{ channel: 'email', last_error: /refuses the user or the password in SMTP_URL \(SMTP 535\)/ }])
  t.notMatch(agent.stdout() + JSON.stringify([down, stored, await metrics()]), /canary|agent@mail/)
})

t.test('the next start tests nothing, and several accounts that need a person are one e-mail', { skip }, async (t) => {
  const server = await startMailServer(t)
  const env = mailSettings(server)
  const cwd = tempFolder(t)
  const first = await openAgent(t, { env, cwd })
  await waitFor(
    'the first message to a new target',
    () => first.sql('select 1 from alert_channels where last_ok_at is not null').length === 1,
  )
  await first.close()
  const due = "'unverified', '2020-01-01T00:00:00.000Z', 'misconfigured', 1, '2020-01-01T00:00:00.000Z'"
  for (const name of ['shop', 'cafe'])
    first.sql(
      `insert into accounts (name, provider, access_token, state, alert_at, last_error_code, failure_count, created_at) values ('${name}', 'other', 'v1.x', ${due})`,
    )
  const { sql } = await openAgent(t, { env, cwd })
  await waitFor('the alert', () => server.received.length >= 2)
  await waitFor('its end', () => sql("select 1 from events where kind = 'alert_sent'").length === 2)
  t.strictSame(subjects(server).length, 2)
  t.match(subjects(server)[1], /^An account needs you: (shop|cafe) and 1 more$/)
})

t.test('alert-test exits with 0 only where each channel took the message, and says why not', { skip }, async (t) => {
  const server = await startMailServer(t)
  const cwd = tempFolder(t)
  const alertTest = (env: Record<string, string>) => runCli(t, ['alert-test'], { cwd, env })
  t.match(await alertTest({}), {
    code: 1,
    stdout: '',
    stderr: /^No alert goes anywhere: set ALERT_WEBHOOK_URL, or SMTP_URL.* The last step of http.*\/setup says how\.$/m,
  })
  t.match(await alertTest(mailSettings(server)), { code: 0, stdout: 'E-mail: the test message arrived.\n', stderr: '' })
  server.isRefusing = true
  const refused = await alertTest({ ...mailSettings(server), ALERT_WEBHOOK_URL: 'https://canary-host.invalid/canary' })
  t.match(refused, { code: 1, stdout: '', stderr: /E-mail: .*refuses the user or the password in SMTP_URL/ })
  t.match(refused.stderr, /^Webhook: .*could not be reached.*^The last step of http\S+\/setup says what to do\.$/ms)
  t.notMatch(refused.stderr, /canary|agent@mail/)
  t.match(await runCli(t, ['status'], { cwd, env: { ...mailSettings(server), SMTP_URL: 'smtp://127.0.0.1/?debug=true' } }), {
    code: 1,
    stderr: /SMTP_URL: has a path or options/,
  })
})
