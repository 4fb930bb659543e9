import { createHash, timingSafeEqual } from 'node:crypto'
import type { SecretNames } from '../core/accept-token.ts'
import type { ConfiguredProvider } from '../core/provider.ts'
import { unquoted } from '../core/quotes.ts'
import type { Secret } from '../core/secret.ts'

/** A match of this length is no chance. */
const SURE_LENGTH = 8
/** A long text may contain a short password as an ordinary word. */
const SURE_LENGTH_IN_TEXT = 12

/** Their values are often plain words, such as the name of a shop. */
const MAY_BE_WORDS = ['DATABASE_URL', 'MEMCACHIER_USERNAME']

interface ConfiguredSecrets {
  readonly encryptionKeys: readonly Secret[] | null
  readonly serverKeys: readonly Secret[]
  readonly adminPassword: Secret | null
  readonly metricsKey: Secret | null
  readonly webhookSecret: Secret | null
  readonly alertWebhookUrl: Secret | null
  readonly mail: { readonly url: Secret } | null
  readonly providers: readonly Pick<ConfiguredProvider, 'secrets'>[]
  readonly memcached: { readonly username: string | null; readonly password: Secret | null } | null
  readonly database: { readonly kind: 'sqlite' } | { readonly kind: 'postgres'; readonly url: Secret }
}

export interface KnownSecrets extends SecretNames {
  /** Adds a secret that is not in the environment: the key file's or the one-time password. */
  add(name: string, value: string): void
}

/**
 * All secrets of the configuration except the seeds. A password manager may fill one into the field for a token, or a
 * person may copy the wrong line: none may be stored as a token, sent to a provider or served.
 */
export function createKnownSecrets(config: ConfiguredSecrets): KnownSecrets {
  const secrets: { name: string; value: string; digest: Buffer }[] = []
  const add = (name: string, text: string): void => {
    const value = unquoted(text.normalize('NFC'))
    if (value !== '') secrets.push({ name, value, digest: digest(value) })
  }
  for (const [name, value] of secretsOf(config)) add(name, value)
  const equalTo = (spellings: readonly string[]) => {
    const digests = spellings.map(digest)
    return secrets.filter((secret) => digests.reduce((isEqual, one) => timingSafeEqual(one, secret.digest) || isEqual, false))
  }
  return {
    add,
    nameIn(text) {
      const spellings = spellingsOf(text.normalize('NFC').trim())
      // Not in constant time, unlike equalTo; but only the owner and the command line call this.
      const near = secrets.find(({ value }) => spellings.some((one) => isPiece(one, value) || holds(one, value)))
      return (equalTo(spellings)[0] ?? near)?.name ?? null
    },
    nameOf(text) {
      const equal = equalTo([unquoted(text.normalize('NFC'))])
      return equal.find(({ name, value }) => value.length >= SURE_LENGTH && !MAY_BE_WORDS.includes(name))?.name ?? null
    },
  }
}

function isPiece(text: string, secret: string): boolean {
  return text.length >= SURE_LENGTH && secret.includes(text)
}

function holds(text: string, secret: string): boolean {
  return secret.length >= (/[\s:/?&"{]/.test(text) ? SURE_LENGTH_IN_TEXT : SURE_LENGTH) && text.includes(secret)
}

/** The text itself, without quotes, the value of `NAME=value` or `"name": "value"`, and each of them decoded. */
function spellingsOf(text: string): string[] {
  const value = /^["'{\s]*[\w.-]+["']?\s*[=:]\s*(.*?)[};,\s]*$/s.exec(text)?.[1]
  const spellings = [text, unquoted(text), ...(value === undefined ? [] : [unquoted(value)])]
  return [...new Set([...spellings, ...spellings.map(decoded)])].filter((spelling) => spelling !== '')
}

function* secretsOf(config: ConfiguredSecrets): Generator<[name: string, value: string]> {
  for (const key of config.encryptionKeys ?? []) yield ['ENCRYPTION_KEY', key.reveal()]
  for (const key of config.serverKeys) yield ['SERVER_KEYS', key.reveal()]
  const single = {
    ADMIN_PASSWORD: config.adminPassword,
    METRICS_KEY: config.metricsKey,
    WEBHOOK_SECRET: config.webhookSecret,
    MEMCACHIER_PASSWORD: config.memcached?.password,
  }
  for (const [name, secret] of Object.entries(single)) if (secret) yield [name, secret.reveal()]
  for (const [name, secret] of config.providers.flatMap(({ secrets }) => secrets)) yield [name, secret.reveal()]
  if (config.memcached?.username) yield ['MEMCACHIER_USERNAME', config.memcached.username]
  if (config.database.kind === 'postgres') yield* partsOf('DATABASE_URL', config.database.url.reveal())
  if (config.mail !== null) yield* partsOf('SMTP_URL', config.mail.url.reveal())
  if (config.alertWebhookUrl !== null) yield* partsOf('ALERT_WEBHOOK_URL', config.alertWebhookUrl.reveal())
}

/** The whole address, and each secret part of it. */
function* partsOf(name: string, address: string): Generator<[name: string, value: string]> {
  yield [name, address]
  const url = URL.parse(address)
  if (url === null) return
  const { password, searchParams, pathname } = url
  // A webhook's path ends with its key, a database's with its name.
  const key = name === 'ALERT_WEBHOOK_URL' ? (pathname.split('/').at(-1) ?? '') : ''
  for (const part of [password, decoded(password), searchParams.get('password') ?? '', key.length >= SURE_LENGTH_IN_TEXT ? key : ''])
    if (part !== '') yield [name, part]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
