import { isIP } from 'node:net'
import { Secret } from '../core/secret.ts'

/** Where alerts go by e-mail, and through which server. */
export interface MailConfig {
  /** As typed. */
  readonly url: Secret
  readonly host: string
  readonly port: number
  /** TLS from the first byte, as in smtps://. Without it STARTTLS, see `mustEncrypt`. */
  readonly secure: boolean
  /** A password is sent, and not to this machine: nothing goes out in the clear. */
  readonly mustEncrypt: boolean
  readonly login: { readonly user: string; readonly password: Secret } | null
  readonly from: string
  readonly to: readonly string[]
}

const EXAMPLE = 'write it as smtp://user:password@mail.example.com:587'
const MOST_RECIPIENTS = 5
// A plain addr-spec: https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const ADDRESS = new RegExp(`^[a-z0-9.!#$%&'*+/=?^_\`{|}~-]{1,64}@${LABEL}(?:\\.${LABEL})*$`, 'i')
const isAddress = (text: string): boolean => text.length <= 254 && ADDRESS.test(text)

interface Typed {
  readonly smtpUrl: string | null
  readonly recipients: readonly string[]
  readonly appUrl: string
}

/** Null where no alert goes by e-mail. The address is taken apart here alone: a library would read options out of it. */
export function readMail({ smtpUrl, recipients, appUrl }: Typed, problem: (what: string) => void): MailConfig | null {
  if (smtpUrl === null && recipients.length === 0) return null
  const server = smtpUrl === null ? null : readServer(smtpUrl, problem)
  if (recipients.length > MOST_RECIPIENTS) problem(`ALERT_EMAIL_TO: names more than ${MOST_RECIPIENTS} addresses; use a mailing list`)
  if (!recipients.every(isAddress))
    problem('ALERT_EMAIL_TO: takes plain addresses such as me@example.com, without names or brackets, separated by commas')
  if (smtpUrl === null) problem('SMTP_URL: is missing; ALERT_EMAIL_TO alone does not say which server sends the mail')
  if (recipients.length === 0) problem('ALERT_EMAIL_TO: is missing; SMTP_URL alone does not say who gets the alerts')
  if (server === null) return null
  return { ...server, from: senderOf(server.login?.user ?? null, recipients, appUrl), to: recipients }
}

function readServer(typed: string, problem: (what: string) => void): Omit<MailConfig, 'from' | 'to'> | null {
  const url = URL.parse(typed)
  const refuse = (why: string): null => {
    problem(`SMTP_URL: ${why}`)
    return null
  }
  if (url === null || !/^smtps?:$/.test(url.protocol) || !/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)$/i.test(url.hostname))
    return refuse(`must be an smtp:// or smtps:// address; ${EXAMPLE}`)
  if (url.search !== '' || url.hash !== '' || !['', '/'].includes(url.pathname))
    return refuse(
      `has a path or options behind the server’s name, which are not taken; ${EXAMPLE}. A “/”, “?” or “#” in the password is written as %2F, %3F or %23`,
    )
  const [user, password] = [decoded(url.username), decoded(url.password)]
  if (user === null || password === null) return refuse('has a “%” that begins no code; write it as %25')
  if ((user === '') !== (password === '')) return refuse('names a user or a password alone; give both or neither')
  if (/\p{Cc}/u.test(user + password)) return refuse('has a control character in the user or the password')
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const secure = url.protocol === 'smtps:'
  if (url.port === '0') return refuse(`has port 0; ${EXAMPLE}`)
  return {
    url: new Secret(typed),
    host,
    port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
    secure,
    mustEncrypt: user !== '' && !isLoopback(host),
    login: user === '' ? null : { user, password: new Secret(password) },
  }
}

/** Servers take a sender that they know: the user where it is an address, else the operator's own address. */
function senderOf(user: string | null, recipients: readonly string[], appUrl: string): string {
  if (user !== null) return isAddress(user) ? user : (recipients[0] ?? '')
  const host = URL.parse(appUrl)?.hostname ?? ''
  return isAddress(`token-agent@${host}`) && isIP(host) === 0 ? `token-agent@${host}` : 'token-agent@localhost'
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
