import { createHash, timingSafeEqual } from 'node:crypto'
import type { SecretNames } from '../core/accept-token.ts'
import type { ConfiguredProvider } from '../core/provider.ts'
import { unquoted } from '../core/quotes.ts'
import type { Secret } from '../core/secret.ts'

/** In so many characters no secret of the configuration stands by chance. */
const SURE_LENGTH = 8
/** A pasted text is long and made of words, of which a short password may be one. */
const SURE_LENGTH_IN_TEXT = 12

/** A database's password may well be the name of what it is for. */
const MAY_BE_WORDS = ['DATABASE_URL', 'MEMCACHIER_USERNAME']

/** The secrets of the configuration. */
interface Configured {
  readonly encryptionKeys: readonly Secret[] | null
  readonly serverKeys: readonly Secret[]
  readonly adminPassword: Secret | null
  readonly metricsKey: Secret | null
  readonly webhookSecret: Secret | null
  readonly alertWebhookUrl: Secret | null
  readonly providers: readonly Pick<ConfiguredProvider, 'secrets'>[]
  readonly memcached: { readonly username: string | null; readonly password: Secret | null } | null
  readonly database: { readonly kind: 'sqlite' } | { readonly kind: 'postgres'; readonly url: Secret }
}

export interface KnownSecrets extends SecretNames {
  /** For the secrets that are no part of the configuration: the key file and the one-time password. */
  add(name: string, value: string): void
}

/**
 * Every secret of the configuration but the tokens that it seeds. A password manager fills one into the field for a token,
 * a person takes the wrong line of a file: none may be stored as a token, sent to a provider or served.
 */
export function createKnownSecrets(config: Configured): KnownSecrets {
  const secrets: { name: string; value: string; digest: Buffer }[] = []
  const add = (name: string, typed: string): void => {
    const value = unquoted(typed.normalize('NFC'))
    if (value !== '') secrets.push({ name, value, digest: digest(value) })
  }
  for (const [name, value] of secretsOf(config)) add(name, value)
  const equalTo = (spellings: readonly string[]) => {
    const digests = spellings.map(digest)
    return secrets.filter((secret) => digests.reduce((found, one) => timingSafeEqual(one, secret.digest) || found, false))
  }
  return {
    add,
    nameIn(text) {
      const spellings = spellingsOf(text.normalize('NFC').trim())
      // Not in constant time, as the equal ones are; but only the owner and the command line ask.
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

/** As it is, without quotes, the value of `NAME=value` or `"name": "value"`, and each of them decoded. */
function spellingsOf(text: string): string[] {
  const value = /^["'{\s]*[\w.-]+["']?\s*[=:]\s*(.*?)[};,\s]*$/s.exec(text)?.[1]
  const found = [text, unquoted(text), ...(value === undefined ? [] : [unquoted(value)])]
  return [...new Set([...found, ...found.map(decoded)])].filter((spelling) => spelling !== '')
}

function* secretsOf(config: Configured): Generator<[name: string, value: string]> {
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
  if (config.alertWebhookUrl !== null) yield* partsOf('ALERT_WEBHOOK_URL', config.alertWebhookUrl.reveal())
}

/** An address as a whole, and what in it is secret by itself. */
function* partsOf(name: string, address: string): Generator<[name: string, value: string]> {
  yield [name, address]
  const url = URL.parse(address)
  if (url === null) return
  const { password, searchParams, pathname } = url
  // The end of the path is the key of a webhook, but the name of a database.
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
