import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import { DeliveryError } from '../../src/alerts/channel.ts'
import { Secret } from '../../src/core/secret.ts'
import { createMail, type MailOptions } from '../../src/mail/mail.ts'
import { missing } from '../support/services.ts'
import { LOGIN, startMailServer, startRawServer } from '../support/smtp.ts'

const skip = missing('openssl')
const TO = ['me@example.com', 'you@example.com']
const LOGGED_IN = { user: LOGIN.user, password: new Secret(LOGIN.password) }
const ALERT: Alert = { event: 'person_needed', account: 'shop', state: 'reconnect', message: 'The token of “shop” is refused.' }

/** A mail to a server on this machine, by the rules for one that is elsewhere. */
function mailTo(server: { port: number; ca?: Buffer }, change: Partial<MailOptions> = {}) {
  return createMail({
    host: '127.0.0.1',
    secure: false,
    mustEncrypt: true,
    login: LOGGED_IN,
    from: LOGIN.user,
    to: TO,
    appUrl: 'https://agent.example',
    ...server,
    ...change,
  })
}

async function refusal(t: Test, sending: Promise<void>): Promise<string> {
  const error: unknown = await sending.then(
    () => null,
    (error: unknown) => error,
  )
  t.ok(error instanceof DeliveryError, `${error}`)
  t.notMatch(inspect(error, { depth: 9, showHidden: true }), /canary|agent@mail/)
  return error instanceof Error ? error.message : ''
}

/** Header fields, unfolded, in the order of the message. */
function headersOf(raw: string): Map<string, string> {
  const [head = ''] = raw.split('\r\n\r\n')
  const lines = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n')
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
}

function bodyOf(raw: string): string {
  const body = raw.slice(raw.indexOf('\r\n\r\n') + 4)
  const encoding = headersOf(raw).get('content-transfer-encoding')
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString()
  if (encoding !== 'quoted-printable') return body
  const bytes = body.replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)))
  return Buffer.from(bytes, 'latin1').toString()
}

const HEADERS = [
  'auto-submitted',
  'content-transfer-encoding',
  'content-type',
  'date',
  'from',
  'message-id',
  'mime-version',
  'subject',
  'to',
]

t.test('signs in over TLS, from the start or by STARTTLS, and sends one plain message to all', { skip }, async (t) => {
  for (const secure of [false, true]) {
    const server = await startMailServer(t, { secure })
    await mailTo(server, { secure }).send([ALERT, { ...ALERT, account: 'cafe', message: 'The token of “cafe” has expired.' }])
    t.match(server.received, [{ from: LOGIN.user, to: TO, user: LOGIN.user, isEncrypted: true }])
    const raw = server.received[0]?.raw ?? ''
    const headers = headersOf(raw)
    t.strictSame([...headers.keys()].toSorted(), HEADERS)
    t.match(headers.get('subject'), 'An account needs you: shop and 1 more')
    t.match(headers.get('content-type'), /^text\/plain; charset=utf-8$/)
    t.match(
      bodyOf(raw),
      /^token-agent at https:\/\/agent\.example: The token of “shop” is refused\.\s+https:\/\/agent\.example\/admin\/accounts\/shop\s+The token of “cafe” has expired\.\s+https:\/\/agent\.example\/admin\/accounts\/cafe/,
    )
  }
})

t.test('sends without encryption where no password is sent, or only to this machine', { skip }, async (t) => {
  const relay = await startMailServer(t, { hideSTARTTLS: true, authOptional: true, disabledCommands: ['STARTTLS', 'AUTH'] })
  await mailTo({ port: relay.port }, { mustEncrypt: false, login: null }).send([ALERT])
  t.match(relay.received, [{ user: null, isEncrypted: false }])
  const local = await startMailServer(t, { hideSTARTTLS: true, allowInsecureAuth: true, disabledCommands: ['STARTTLS'] })
  await mailTo({ port: local.port }, { mustEncrypt: false }).send([ALERT])
  t.match(local.received, [{ user: LOGIN.user, isEncrypted: false }])
  const snakeOil = await startMailServer(t, { authOptional: true })
  await mailTo({ port: snakeOil.port }, { mustEncrypt: false, login: null }).send([ALERT])
  t.match(snakeOil.received, [{ user: null, isEncrypted: true }], 'a relay may have any certificate')
})

const EHLO = '250-mail.example\r\n250-AUTH PLAIN LOGIN\r\n250 HELP\r\n'
const EHLO_TLS = '250-mail.example\r\n250-STARTTLS\r\n250 HELP\r\n'

t.test('no password leaves without encryption, whatever a server or somebody on the way says', { skip }, async (t) => {
  const offers: Record<string, (line: string) => string> = {
    'no STARTTLS': (line) => (line === '' ? '220 mail\r\n' : /^EHLO/.test(line) ? EHLO : '502 no\r\n'),
    'STARTTLS stripped': (line) => (line === '' ? '220 mail\r\n' : /^EHLO/.test(line) ? EHLO.replace('HELP', 'XXXXXXXA') : '500 what\r\n'),
    'STARTTLS refused': (line) => (line === '' ? '220 mail\r\n' : /^EHLO/.test(line) ? EHLO_TLS : '454 not now\r\n'),
    'no EHLO': (line) => (line === '' ? '220 mail\r\n' : /^EHLO/.test(line) ? '500 what\r\n' : '250 mail\r\n'),
    'STARTTLS without TLS': (line) => (line === '' ? '220 mail\r\n' : /^EHLO/.test(line) ? EHLO_TLS : '220 go\r\n235 fine\r\n250 fine\r\n'),
  }
  for (const [what, answer] of Object.entries(offers)) {
    const server = await startRawServer(t, answer)
    t.match(await refusal(t, mailTo(server, { timeoutMs: 2_000 }).send([ALERT])), /^The alert was not delivered: the mail server/, what)
    t.notMatch(server.text(), /AUTH|MAIL FROM|token/i, what)
    const base64 = (text: string): string => Buffer.from(text).toString('base64')
    for (const secret of [LOGIN.password, base64(LOGIN.password), base64(`\0${LOGIN.user}\0${LOGIN.password}`)])
      t.notOk(server.text().includes(secret), what)
  }
})

t.test('a certificate of nobody’s, or of another host, ends it before the password', { skip }, async (t) => {
  for (const secure of [false, true]) {
    const server = await startMailServer(t, { secure })
    const untrusted = await refusal(t, mailTo({ port: server.port }, { secure }).send([ALERT]))
    t.match(untrusted, /the certificate of the mail server is not trusted/, 'no authority')
    const elsewhere = mailTo(server, { secure, host: 'localhost' })
    t.match(await refusal(t, elsewhere.send([ALERT])), /certificate of the mail server is not trusted/, 'another host')
    t.strictSame(server.received, [])
  }
})

t.test('one deadline ends a server that hangs after any verb, or trickles, and its connection', { skip }, async (t) => {
  const replies: [verb: RegExp, reply: string][] = [
    [/^$/, '220 mail\r\n'],
    [/^EHLO/, EHLO],
    [/^AUTH/, '235 fine\r\n'],
    [/^MAIL/, '250 fine\r\n'],
    [/^RCPT/, '250 fine\r\n'],
    [/^DATA/, '354 go on\r\n'],
    [/^\.$/, '250 taken\r\n'],
  ]
  for (const [at, [verb]] of replies.entries()) {
    const server = await startRawServer(t, (line) => replies.slice(0, at).find(([known]) => known.test(line))?.[1] ?? null)
    const sending = mailTo(server, { mustEncrypt: false, timeoutMs: 300 }).send([ALERT])
    t.match(await refusal(t, sending), /did not take the message within 0\.3 seconds/, `${verb}`)
  }
  // The time limits of a library begin anew with each byte.
  for (const at of [/^$/, /^EHLO/]) {
    const closed = Promise.withResolvers<void>()
    const trickle = await startRawServer(t, (line, socket) => {
      if (!at.test(line)) return '220 mail\r\n'
      const drip = setInterval(() => socket.write(line === '' ? '220-mail\r\n' : '250-mail\r\n'), 20)
      socket.on('close', () => {
        clearInterval(drip)
        closed.resolve()
      })
      return null
    })
    t.match(await refusal(t, mailTo(trickle, { timeoutMs: 300 }).send([ALERT])), /within 0\.3 seconds/)
    await closed.promise
  }
})

t.test('each refusal is a sentence of ours, though the server repeats the user and the password', { skip }, async (t) => {
  const base64 = Buffer.from(`\0${LOGIN.user}\0${LOGIN.password}`).toString('base64')
  const echo = `${LOGIN.user} ${LOGIN.password} ${base64} canary\r\n`
  const known: [verb: RegExp, reply: string, sentence: RegExp][] = [
    [/^$/, `554 ${echo}`, /does not behave as SMTP says \(SMTP 554\)/],
    [/^$/, `421 ${echo}`, /asks to come back later \(SMTP 421\)/],
    [/^AUTH/, `535 5.7.8 ${echo}`, /refuses the user or the password in SMTP_URL \(SMTP 535\)/],
    [/^AUTH/, `454 ${echo}`, /refuses the user or the password in SMTP_URL \(SMTP 454\)/],
    [/^MAIL/, `550 ${echo}`, /refuses the sender \(SMTP 550\)/],
    [/^MAIL/, `451 ${echo}`, /asks to come back later \(SMTP 451\)/],
    [/^RCPT/, `550 ${echo}`, /refuses every address in ALERT_EMAIL_TO \(SMTP 550\)/],
    [/^DATA/, `554 ${echo}`, /refuses the message \(SMTP 554\)/],
    [/^\.$/, `554 ${echo}`, /refuses the message \(SMTP 554\)/],
    [/^\.$/, `452 ${echo}`, /asks to come back later \(SMTP 452\)/],
    [/^EHLO/, `250-${echo}`.repeat(200_000), /The alert was not delivered/],
  ]
  const normal = (line: string): string | null =>
    line === '' ? '220 mail\r\n' : /^EHLO/.test(line) ? EHLO : /^AUTH/.test(line) ? '235 ok\r\n' : /^DATA/.test(line) ? '354 go\r\n' : null
  for (const [verb, reply, sentence] of known) {
    const server = await startRawServer(t, (line) =>
      verb.test(line) ? reply : (normal(line) ?? (/^(MAIL|RCPT|\.$)/.test(line) ? '250 ok\r\n' : null)),
    )
    t.match(await refusal(t, mailTo(server, { mustEncrypt: false, timeoutMs: 5_000 }).send([ALERT])), sentence, `${verb}`)
  }
  const wrong = await startMailServer(t)
  const login = { user: LOGIN.user, password: new Secret('canary, but wrong') }
  t.match(await refusal(t, mailTo(wrong, { login }).send([ALERT])), /refuses the user or the password/)
  const gone = { port: 1 }
  t.match(await refusal(t, mailTo(gone).send([ALERT])), /cannot be reached \(ECONNREFUSED\)/)
  t.match(await refusal(t, mailTo(gone, { host: 'canary.invalid' }).send([ALERT])), /cannot be found/)
})

t.test('hostile names and sentences stay in the body, on one line, and no header is theirs', { skip }, async (t) => {
  const server = await startMailServer(t)
  const mail = mailTo(server)
  const inject = 'x\r\nBcc: evil@example.com\r\n\r\nbody'
  const hostile = [
    inject,
    'x\nBcc: evil@example.com',
    'x\rBcc: evil@example.com',
    'x\u2028Bcc: evil@example.com\u2029y',
    'x\u0085Bcc: evil@example.com',
    '=?utf-8?q?x=0D=0ABcc:_evil@example.com?=',
    '\u202egro.live\u202c \u2066x\u2069 \u200b',
    '\0\x07\x1b[31m',
    '.\r\n.\r\nMAIL FROM:<evil@example.com>',
    '“ü” 🙂 @everyone <!channel> <a href="https://evil.example">x</a>',
    'n'.repeat(10_240),
  ]
  for (const [at, text] of hostile.entries()) {
    const account = text as string
    await mail.send([{ event: 'person_needed', account, state: 'reconnect', message: `The token of “${text}” is refused. ${text}` }])
    const { raw = '', to } = server.received.at(-1) ?? {}
    const headers = headersOf(raw)
    t.strictSame([...headers.keys()].toSorted(), HEADERS, `text ${at}`)
    t.strictSame(to, TO)
    t.equal(headers.get('subject'), 'An account needs you')
    const lines = bodyOf(raw).trim().split(/\r?\n/)
    t.equal(lines.length, 2, 'the sentence, and our link')
    t.notMatch(lines[0], /[\p{Cc}\p{Cf}\u2028\u2029]/u)
    t.equal(lines[1], 'https://agent.example/status')
  }
  t.equal(server.received.length, hostile.length)
})

t.test('the digest of the target tells servers and recipients apart, and nothing of the password', async (t) => {
  const target = (change: Partial<MailOptions>): string => mailTo({ port: 587 }, change).target
  const others = [{ host: 'b.example' }, { to: ['other@example.com'] }, { login: null }, { secure: true }]
  t.equal(new Set([target({}), ...others.map(target)]).size, 5)
  t.equal(target({ login: { user: LOGIN.user, password: new Secret('another') } }), target({}))
})
