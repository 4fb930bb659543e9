import type { ConfiguredProvider, ProviderModule, VariableKind } from '../core/provider.ts'
import { printable } from '../core/quotes.ts'
import { Secret } from '../core/secret.ts'
import { PROVIDERS } from '../providers/registry.ts'
import { type AllowList, parseAllowList } from '../reading/allow-list.ts'
import { constantNameProblem } from '../reading/js-constant.ts'
import { isPublicSuffix } from '../reading/public-suffix.ts'
import { sharedHostWarnings } from '../reading/shared-hosts.ts'
import type { RefreshFrequency, RefreshMode } from '../refreshing/next-refresh.ts'
import { type AgentCommand, agentCommand } from './agent-command.ts'
import { characters, keySpellings, readEnvironment, type Warning } from './environment.ts'
import { readFeeds } from './feeds.ts'
import { createKnownSecrets } from './known-secrets.ts'
import { type MailConfig, readMail } from './mail.ts'
import { alertUrlProblem, type MemcachedConfig, readHost, readMemcached, readPort, readTrustProxy } from './network.ts'
import { type DatabaseConfig, desktopOf, detectPlatform, guessAppUrl, type Platform, readDatabase } from './platform.ts'
import { readProvider, readSeed, type Seed } from './providers.ts'
import { checkPassword } from './weak-password.ts'

export interface Config {
  readonly host: string
  readonly port: number
  /** The agent's own origin, as browsers see it; never taken from a request. */
  readonly appUrl: string
  readonly appUrlIsGuess: boolean
  readonly platform: Platform
  /** Returns the shell line for a command of the agent. */
  readonly command: AgentCommand
  readonly seeds: readonly Seed[]
  /** As typed, for the pages; null = unset, so only the agent's own origin may read. */
  readonly allowedDomains: string | null
  readonly allowList: AllowList
  readonly serverKeys: readonly Secret[]
  readonly hideHelpPages: boolean
  readonly refreshMode: RefreshMode
  readonly refreshFrequency: RefreshFrequency
  readonly feeds: ReturnType<typeof readFeeds>
  /** By provider: the constant's name for an account without a name of its own. */
  readonly constantNames: Readonly<Record<string, string>>
  readonly webhookSecret: Secret | null
  readonly database: DatabaseConfig
  /** Newest first; null = the embedded store keeps its own key beside it. */
  readonly encryptionKeys: readonly Secret[] | null
  /** What the system's keychain is reached by. */
  readonly desktop: NodeJS.ProcessEnv
  /** Spellings with quotes, which open old values: an earlier release took the quotes for a part of the key. */
  readonly otherKeySpellings: readonly Secret[]
  readonly memcached: MemcachedConfig | null
  readonly logLevel: string
  readonly trustProxy: boolean | string[]
  /** Signs the owner in at /admin; null = the embedded store prints a one-time password, Postgres has no sign-in. */
  readonly adminPassword: Secret | null
  readonly metricsKey: Secret | null
  readonly alertWebhookUrl: Secret | null
  readonly mail: MailConfig | null
  /** The providers that their variables enable. */
  readonly providers: readonly ConfiguredProvider[]
  /** All providers, also those that their variables do not enable. */
  readonly modules: readonly ProviderModule[]
  readonly warnings: readonly Warning[]
}

export class ConfigError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    )
    this.name = 'ConfigError'
    this.problems = problems
  }
}

const GENERAL = {
  APP_NAME: 'text',
  APP_URL: 'text',
  ALLOWED_DOMAINS: 'list',
  SERVER_KEYS: 'list',
  HIDE_HELP_PAGES: 'text',
  REFRESH_MODE: 'text',
  REFRESH_FREQUENCY: 'text',
  JS_CONSTANT_NAME: 'text',
  FEED_MODE: 'text',
  FEED_INTERVAL: 'text',
  FEED_POSTS: 'text',
  FEED_STORE_MB: 'text',
  WEBHOOK_SECRET: 'text',
  DATABASE_URL: 'text',
  ENCRYPTION_KEY: 'list',
  MEMCACHIER_SERVERS: 'list',
  MEMCACHIER_USERNAME: 'text',
  MEMCACHIER_PASSWORD: 'text',
  PORT: 'text',
  HOST: 'text',
  LOG_LEVEL: 'text',
  TRUST_PROXY: 'list',
  ADMIN_PASSWORD: 'text',
  METRICS_KEY: 'text',
  ALERT_WEBHOOK_URL: 'text',
  SMTP_URL: 'text',
  ALERT_EMAIL_TO: 'list',
} as const satisfies Record<string, VariableKind>
type Variable = keyof typeof GENERAL

const variablesOf = (providers: readonly ProviderModule[]): Readonly<Record<string, VariableKind>> =>
  Object.assign({ ...GENERAL }, ...providers.map(({ seed, variables }) => ({ [seed.variable]: 'text', ...variables })))

/** All variables. A test compares the README's table and app.json with this list. */
export const VARIABLES: readonly string[] = Object.keys(variablesOf(PROVIDERS))

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
const FLAGS = ['true', 'false', '1', '0', 'yes', 'no', 'on', 'off'] as const
const MAKE_KEY = 'make one with: openssl rand -hex 32'

/** Reads and checks the whole environment; throws one `ConfigError` that lists every problem. */
export function readConfig(env: NodeJS.ProcessEnv, providers: readonly ProviderModule[] = PROVIDERS): Config {
  const problems: string[] = []
  const warnings: Warning[] = []
  const warn = (text: string, forOwner = false): void => void warnings.push({ text, forOwner })
  const { text, list, quoted } = readEnvironment(env, variablesOf(providers), warnings)

  const secret = (name: Variable, value: string | null, minimum: number, remedy: string): Secret | null => {
    if (value === null) return null
    // An earlier release counted the quotes, and an agent that ran with it must start.
    if (value.length < (quoted(name) === null ? minimum : minimum - 2))
      problems.push(`${name}: has ${characters(value.length)}, which can be guessed; ${remedy}`)
    else if (!/^[\x21-\x7e]+$/.test(value)) problems.push(`${name}: may hold only visible ASCII characters without spaces; ${remedy}`)
    return new Secret(value)
  }
  const choice = <const T extends string>(name: Variable, choices: readonly T[], fallback: T): T => {
    const value = text(name)?.toLowerCase()
    if (value === undefined) return fallback
    const chosen = choices.find((one) => one === value)
    if (chosen === undefined) problems.push(`${name}: “${printable(value)}” is not one of ${choices.join(', ')}`)
    return chosen ?? fallback
  }
  // The Ruby agent documented only "true", but people write the values of their other apps.
  const flag = (name: Variable): boolean => ['true', '1', 'yes', 'on'].includes(choice(name, FLAGS, 'false'))
  const origin = (name: string, fallback: string): string => {
    const value = text(name)
    if (value === null) return fallback
    const url = URL.parse(value)
    if (
      url === null ||
      !/^https?:$/.test(url.protocol) ||
      !isHost(url.hostname) ||
      url.pathname !== '/' ||
      url.search !== '' ||
      url.hash !== '' ||
      url.username !== ''
    ) {
      problems.push(`${name}: must be an address such as https://token-agent.example.com, without a path or a dot at its end`)
      return fallback
    }
    return url.origin
  }

  const port = readPort(text('PORT'), problems)
  const guessed = guessAppUrl(env, text('APP_NAME'), problems)
  const appUrl = origin('APP_URL', guessed ?? `http://localhost:${port}`)

  const allowedDomains = text('ALLOWED_DOMAINS')
  // For port 0 the system chooses a port later, so the agent has no own origin until APP_URL names it.
  const ownOrigin = appUrl === 'http://localhost:0' ? '' : appUrl
  const allowed = parseAllowList(allowedDomains ?? ownOrigin, isPublicSuffix)
  for (const warning of sharedHostWarnings(allowed.list)) warn(`ALLOWED_DOMAINS: ${warning}`)
  problems.push(...allowed.problems.map((problem) => `${allowedDomains === null ? 'APP_URL' : 'ALLOWED_DOMAINS'}: ${problem}`))

  const seeds = providers.flatMap((provider) => readSeed(provider, text, { problems, warn }) ?? [])

  const ownConstant = text('JS_CONSTANT_NAME')
  const badName = ownConstant === null ? null : constantNameProblem(ownConstant)
  if (badName !== null) problems.push(`JS_CONSTANT_NAME: ${badName}`)

  const database = readDatabase(env, text('DATABASE_URL'), { problems, warn })
  const keys = list('ENCRYPTION_KEY')
    .map((key) => secret('ENCRYPTION_KEY', key, 16, MAKE_KEY))
    .filter((key) => key !== null)
  if (keys.length === 0 && database.kind === 'postgres') {
    problems.push(`ENCRYPTION_KEY: is needed with Postgres, so that tokens are not stored in the clear; ${MAKE_KEY}, and keep a copy`)
  }

  const adminPassword = text('ADMIN_PASSWORD')
  if (adminPassword !== null) checkPassword(adminPassword, quoted('ADMIN_PASSWORD') !== null, { problems, warn })

  const alertUrl = text('ALERT_WEBHOOK_URL')
  const badAlertUrl = alertUrl === null ? null : alertUrlProblem(alertUrl)
  if (badAlertUrl !== null) problems.push(`ALERT_WEBHOOK_URL: ${badAlertUrl}`)

  const config: Config = {
    host: readHost(text('HOST'), problems),
    port,
    appUrl,
    platform: detectPlatform(env),
    command: agentCommand(env),
    appUrlIsGuess: text('APP_URL') === null && guessed === null,
    seeds,
    allowedDomains,
    allowList: allowed.list,
    serverKeys: list('SERVER_KEYS')
      .map((key) => secret('SERVER_KEYS', key, 8, MAKE_KEY))
      .filter((key) => key !== null),
    hideHelpPages: flag('HIDE_HELP_PAGES'),
    refreshMode: choice('REFRESH_MODE', ['cron', 'scheduled'], 'cron'),
    refreshFrequency: choice('REFRESH_FREQUENCY', ['daily', 'weekly', 'monthly'], 'weekly'),
    feeds: readFeeds(text, problems),
    constantNames: constantNamesOf(providers, ownConstant),
    webhookSecret: secret('WEBHOOK_SECRET', text('WEBHOOK_SECRET'), 8, MAKE_KEY),
    database,
    ...keySpellings(keys, quoted('ENCRYPTION_KEY')),
    desktop: desktopOf(env),
    memcached: readMemcached({ text, list }, problems),
    logLevel: choice('LOG_LEVEL', LOG_LEVELS, 'info'),
    trustProxy: readTrustProxy(list('TRUST_PROXY'), problems),
    adminPassword: adminPassword === null ? null : new Secret(adminPassword),
    metricsKey: secret('METRICS_KEY', text('METRICS_KEY'), 8, MAKE_KEY),
    alertWebhookUrl: alertUrl === null ? null : new Secret(alertUrl),
    mail: readMail({ smtpUrl: text('SMTP_URL'), recipients: list('ALERT_EMAIL_TO'), appUrl }, (what) => void problems.push(what)),
    providers: providers.flatMap(
      (module) => readProvider(module, { text, list, origin, problem: (what) => void problems.push(what), warn, now: Date.now() }) ?? [],
    ),
    modules: providers,
    warnings,
  }
  const secrets = createKnownSecrets(config)
  for (const { variable, token } of seeds) {
    const name = secrets.nameIn(token.reveal())
    if (name !== null)
      warn(`${variable}: is the value of ${name}, or holds it, and is no token. It is not used: put the access token there.`)
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** JS_CONSTANT_NAME comes from a release whose only provider is the first one, so it names that one's constant alone. */
function constantNamesOf(providers: readonly ProviderModule[], own: string | null): Config['constantNames'] {
  return Object.fromEntries(providers.map(({ name, constantName }, at) => [name, at === 0 ? (own ?? constantName) : constantName]))
}

/** Stricter than URL: the allow-list gives `*` and the comma its own meaning, and a dot at the end is another origin. */
const isHost = (host: string): boolean => /^(\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*)$/.test(host)
