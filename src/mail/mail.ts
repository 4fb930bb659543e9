import { createTransport, type NodemailerError } from 'nodemailer'
import type { Alert, AlertKind } from '../alerts/alert.ts'
import { type Channel, DeliveryError } from '../alerts/channel.ts'
import { linesOf, textOf } from '../alerts/message.ts'
import { isAccountName } from '../core/account.ts'
import { shortDigest } from '../core/digest.ts'
import type { Secret } from '../core/secret.ts'

export interface MailOptions {
  readonly host: string
  readonly port: number
  /** TLS from the first byte; without it STARTTLS where the server offers it. */
  readonly secure: boolean
  /** Nothing but the greeting without TLS. */
  readonly mustEncrypt: boolean
  readonly login: { readonly user: string; readonly password: Secret } | null
  readonly from: string
  readonly to: readonly string[]
  readonly appUrl: string
  readonly timeoutMs?: number
  /** Certificates to trust instead of the usual authorities. */
  readonly ca?: Buffer
}

/** For all of it: the look-up, the connection, the sign-in and the message. */
const TIMEOUT_MS = 15_000
const MAX_LENGTH = 20_000

const SUBJECTS: Readonly<Record<AlertKind, string>> = {
  provider_trouble: 'Trouble of the provider',
  person_needed: 'An account needs you',
  unreadable: 'A token cannot be opened',
  tenth_of_life_left: 'A token expires soon',
  week_left: 'A token expires in a week',
  approval_ends_in_a_week: 'An account must be connected again within a week',
  approval_ends_in_a_month: 'An account must be connected again within a month',
  page_use_ended: 'Web pages no longer get a token',
  grant_waits: 'A client’s permission waits for you',
  feed_stale: 'A feed has no new posts',
  quarter_of_life_left: 'A token was not renewed',
  failing_for_a_day: 'A token cannot be refreshed',
  recovered: 'An account works again',
  password_guessed_at: 'Wrong passwords at the sign-in',
  test: 'A test of the alerts',
}

/** Sends alerts by e-mail. Its errors hold no word of the server. */
export function createMail({ appUrl, timeoutMs = TIMEOUT_MS, ca, ...config }: MailOptions): Channel {
  const { host, port, secure, mustEncrypt, login, from, to } = config
  // Longer than the deadline of send(), which knows better what to say.
  const limitMs = 2 * timeoutMs
  const transport = createTransport({
    host,
    port,
    secure,
    requireTLS: mustEncrypt,
    // Where nothing secret is sent, encryption is taken as it is offered: a relay of one's own may have any certificate.
    tls: { rejectUnauthorized: secure || mustEncrypt, ...(ca === undefined ? {} : { ca }) },
    ...(login === null ? {} : { auth: { user: login.user, pass: login.password.reveal() } }),
    name: new URL(appUrl).hostname,
    logger: false,
    debug: false,
    disableFileAccess: true,
    disableUrlAccess: true,
    dnsTimeout: limitMs,
    connectionTimeout: limitMs,
    greetingTimeout: limitMs,
    socketTimeout: limitMs,
  })
  return {
    kind: 'email',
    title: 'E-mail',
    target: shortDigest(`${secure ? 'smtps' : 'smtp'} ${login?.user ?? ''} ${host} ${port} ${to.join(' ')}`),
    async send(alerts) {
      const signal = AbortSignal.timeout(timeoutMs)
      try {
        await transport.sendMail({
          envelope: { from, to: [...to] },
          from: { name: 'token-agent', address: from },
          to: to.map((address) => ({ name: '', address })),
          subject: subjectOf(alerts),
          text: textOf(linesOf(alerts, { appUrl, maxLength: MAX_LENGTH }), appUrl),
          // https://www.rfc-editor.org/rfc/rfc3834: holiday notices are not answered to it.
          headers: { 'Auto-Submitted': 'auto-generated' },
          xMailer: false,
          disableFileAccess: true,
          disableUrlAccess: true,
          signal,
        })
      } catch (error) {
        if (signal.aborted) throw new DeliveryError(`the mail server did not take the message within ${timeoutMs / 1000} seconds`)
        throw new DeliveryError(reasonOf(error as Partial<NodemailerError>))
      }
    },
  }
}

/** A sentence of ours and an account's name: nothing that came from elsewhere stands in a header. */
function subjectOf([first, ...others]: readonly Alert[]): string {
  if (first === undefined) return 'token-agent'
  const name = first.account !== null && isAccountName(first.account) ? `: ${first.account}` : ''
  return `${SUBJECTS[first.event]}${name}${others.length === 0 ? '' : ` and ${others.length} more`}`
}

/** From the codes and the command alone: a server's text may repeat the user and the password. */
function reasonOf({ code, originalCode, command = '', responseCode }: Partial<NodemailerError>): string {
  const answer = Number.isInteger(responseCode) ? ` (SMTP ${responseCode})` : ''
  const isLater = responseCode !== undefined && responseCode >= 400 && responseCode < 500
  const systemCode = /^[A-Z][A-Z0-9_]{2,60}$/.test(originalCode ?? '') ? ` (${originalCode})` : ''
  if (/CERT|VERIFY|ISSUER|ALTNAME/.test(systemCode)) return `the certificate of the mail server is not trusted${systemCode}`
  if (code === 'EAUTH') return `the mail server refuses the user or the password in SMTP_URL${answer}`
  if (code === 'ENOAUTH') return 'the mail server offers no sign-in; take user and password out of SMTP_URL or name another port'
  if (code === 'ETLS' || command === 'STARTTLS')
    return 'the mail server offers no encryption that works, and without it the password in SMTP_URL is not sent'
  if (code === 'EDNS') return 'the name of the mail server in SMTP_URL cannot be found'
  if (code === 'ESOCKET') return `the mail server cannot be reached${systemCode}`
  if (isLater) return `the mail server asks to come back later${answer}`
  if (command === 'MAIL FROM') return `the mail server refuses the sender${answer}`
  if (command === 'RCPT TO') return `the mail server refuses every address in ALERT_EMAIL_TO${answer}`
  if (command === 'DATA') return `the mail server refuses the message${answer}`
  if (code === 'ETIMEDOUT') return 'the mail server does not answer'
  if (code === 'ECONNECTION') return 'the mail server closed the connection'
  return `the mail server does not behave as SMTP says${answer}`
}
