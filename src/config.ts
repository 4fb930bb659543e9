import { type AgentCommand, agentCommand } from './agent-command.ts'
import { type AllowList, parseAllowList } from './domain/allow-list.ts'
import { constantNameProblem } from './domain/js-constant.ts'
import type { RefreshFrequency, RefreshMode } from './domain/next-refresh.ts'
import { Secret } from './domain/secret.ts'
import { tokenProblem } from './domain/token.ts'
import { type InstagramConfig, readInstagram } from './instagram-config.ts'
import { alertUrlProblem, printable, readHost, readPort, readTrustProxy } from './network-config.ts'
import { type DatabaseConfig, detectPlatform, guessAppUrl, type Platform, readDatabase } from './platform.ts'
import { isPublicSuffix } from './public-suffix.ts'

export interface Config {
  readonly host: string
  readonly port: number
  /** The agent's own origin, as browsers see it; never taken from a request. */
  readonly appUrl: string
  readonly appUrlIsGuess: boolean
  readonly platform: Platform
  /** The line that runs a command of the agent here. */
  readonly command: AgentCommand
  readonly startingToken: Secret | null
  /** What was typed, for the pages; null = unset, so only the agent's own origin may read. */
  readonly allowedDomains: string | null
  readonly allowList: AllowList
  readonly serverKeys: readonly Secret[]
  readonly hideHelpPages: boolean
  readonly refreshMode: RefreshMode
  readonly refreshFrequency: RefreshFrequency
  readonly jsConstantName: string
  readonly webhookSecret: Secret | null
  readonly database: DatabaseConfig
  /** Newest first; null = the embedded store keeps its own key beside it. */
  readonly encryptionKeys: readonly Secret[] | null
  readonly memcached: { readonly servers: string; readonly username: string | null; readonly password: Secret | null } | null
  readonly logLevel: string
  readonly trustProxy: boolean | string[]
  /** Signs the owner in at /admin; null = the embedded store prints a one-time password, Postgres has no sign-in. */
  readonly adminPassword: Secret | null
  readonly metricsKey: Secret | null
  readonly alertWebhookUrl: Secret | null
  readonly instagram: InstagramConfig
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

/** The names that this module reads as configuration; the README's table and app.json are held to this list by a test. */
export const VARIABLES = [
  'STARTING_TOKEN',
  'APP_NAME',
  'APP_URL',
  'ALLOWED_DOMAINS',
  'SERVER_KEYS',
  'HIDE_HELP_PAGES',
  'REFRESH_MODE',
  'REFRESH_FREQUENCY',
  'JS_CONSTANT_NAME',
  'WEBHOOK_SECRET',
  'DATABASE_URL',
  'ENCRYPTION_KEY',
  'MEMCACHIER_SERVERS',
  'MEMCACHIER_USERNAME',
  'MEMCACHIER_PASSWORD',
  'PORT',
  'HOST',
  'LOG_LEVEL',
  'TRUST_PROXY',
  'ADMIN_PASSWORD',
  'METRICS_KEY',
  'ALERT_WEBHOOK_URL',
  'INSTAGRAM_APP_ID',
  'INSTAGRAM_APP_SECRET',
  'INSTAGRAM_SCOPES',
  'INSTAGRAM_GRAPH_URL',
  'INSTAGRAM_API_URL',
  'INSTAGRAM_WEB_URL',
] as const
type Variable = (typeof VARIABLES)[number]

// What the Ruby agent's app.json and documentation told people to replace.
const PLACEHOLDERS = new Set(['copy_token_here', 'copy_app_name_here', 'yourwebsite.com'])
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
const FLAGS = ['true', 'false', '1', '0', 'yes', 'no', 'on', 'off'] as const
const MAKE_KEY = 'make one with: openssl rand -hex 32'

/** Reads and checks the whole environment; throws one `ConfigError` that lists every problem. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const problems: string[] = []

  const text = (name: Variable): string | null => {
    const value = env[name]?.trim() ?? ''
    return value === '' || PLACEHOLDERS.has(value) ? null : value
  }
  const secret = (name: Variable, value: string | null, minimum: number, remedy: string): Secret | null => {
    if (value === null) return null
    if (value.length < minimum) problems.push(`${name}: has ${value.length} characters, which can be guessed; ${remedy}`)
    else if (!/^[\x21-\x7e]+$/.test(value)) problems.push(`${name}: may hold only visible ASCII characters without spaces; ${remedy}`)
    return new Secret(value)
  }
  const choice = <const T extends string>(name: Variable, choices: readonly T[], fallback: T): T => {
    const value = text(name)?.toLowerCase()
    if (value === undefined) return fallback
    const found = choices.find((one) => one === value)
    if (found === undefined) problems.push(`${name}: “${printable(value)}” is not one of ${choices.join(', ')}`)
    return found ?? fallback
  }
  // The Ruby agent's documentation knew only "true"; people wrote what their other apps take.
  const flag = (name: Variable): boolean => ['true', '1', 'yes', 'on'].includes(choice(name, FLAGS, 'false'))
  const list = (name: Variable): string[] =>
    text(name)
      ?.split(/[\s,]+/)
      .filter((one) => one !== '') ?? []
  const origin = (name: Variable, fallback: string): string => {
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

  const allowedDomains =
    list('ALLOWED_DOMAINS')
      .filter((entry) => !PLACEHOLDERS.has(entry))
      .join(' ') || null
  // Which port the system will choose for 0 is not known yet; no page is the agent's own until APP_URL names it.
  const ownOrigin = appUrl === 'http://localhost:0' ? '' : appUrl
  const allowed = parseAllowList(allowedDomains ?? ownOrigin, isPublicSuffix)
  problems.push(...allowed.problems.map((problem) => `${allowedDomains === null ? 'APP_URL' : 'ALLOWED_DOMAINS'}: ${problem}`))

  const startingToken = text('STARTING_TOKEN')
  const badToken = startingToken === null ? null : tokenProblem(startingToken)
  if (badToken !== null) problems.push(`STARTING_TOKEN: ${badToken}`)

  const jsConstantName = text('JS_CONSTANT_NAME') ?? 'InstagramToken'
  const badName = constantNameProblem(jsConstantName)
  if (badName !== null) problems.push(`JS_CONSTANT_NAME: ${badName}`)

  const database = readDatabase(env, text('DATABASE_URL'), problems)
  const keys = list('ENCRYPTION_KEY')
    .map((key) => secret('ENCRYPTION_KEY', key, 16, MAKE_KEY))
    .filter((key) => key !== null)
  if (keys.length === 0 && database.kind === 'postgres') {
    problems.push(`ENCRYPTION_KEY: is needed with Postgres, so that tokens are not stored in the clear; ${MAKE_KEY}, and keep a copy`)
  }

  const servers = text('MEMCACHIER_SERVERS')
  const username = text('MEMCACHIER_USERNAME')
  const password = text('MEMCACHIER_PASSWORD')
  if (servers !== null && !list('MEMCACHIER_SERVERS').every(isServer)) {
    problems.push('MEMCACHIER_SERVERS: must be host:port, several separated by commas, such as mc1.example.com:11211')
  }
  if ((username === null) !== (password === null)) {
    problems.push(
      `MEMCACHIER_${username === null ? 'USERNAME' : 'PASSWORD'}: is missing; give both MEMCACHIER_USERNAME and MEMCACHIER_PASSWORD, or neither`,
    )
  }

  // Typed by a person, spaces and accents included; only its length says that it is a bad one.
  const adminPassword = text('ADMIN_PASSWORD')
  if (adminPassword !== null && adminPassword.length < 8)
    problems.push(`ADMIN_PASSWORD: has ${adminPassword.length} characters, which can be guessed; choose at least 8`)

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
    startingToken: startingToken === null ? null : new Secret(startingToken),
    allowedDomains,
    allowList: allowed.list,
    serverKeys: list('SERVER_KEYS')
      .map((key) => secret('SERVER_KEYS', key, 8, MAKE_KEY))
      .filter((key) => key !== null),
    hideHelpPages: flag('HIDE_HELP_PAGES'),
    refreshMode: choice('REFRESH_MODE', ['cron', 'scheduled'], 'cron'),
    refreshFrequency: choice('REFRESH_FREQUENCY', ['daily', 'weekly', 'monthly'], 'weekly'),
    jsConstantName,
    webhookSecret: secret('WEBHOOK_SECRET', text('WEBHOOK_SECRET'), 8, MAKE_KEY),
    database,
    encryptionKeys: keys.length === 0 ? null : keys,
    memcached:
      servers === null
        ? null
        : { servers: list('MEMCACHIER_SERVERS').join(','), username, password: password === null ? null : new Secret(password) },
    logLevel: choice('LOG_LEVEL', LOG_LEVELS, 'info'),
    trustProxy: readTrustProxy(list('TRUST_PROXY'), problems),
    adminPassword: adminPassword === null ? null : new Secret(adminPassword),
    metricsKey: secret('METRICS_KEY', text('METRICS_KEY'), 8, MAKE_KEY),
    alertWebhookUrl: alertUrl === null ? null : new Secret(alertUrl),
    instagram: readInstagram({ text, list, origin }, problems),
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** URLs allow more: a `*` or a comma, which the allow-list would read in its own way, and a dot at the end. */
const isHost = (host: string): boolean => /^(\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*)$/.test(host)

function isServer(server: string): boolean {
  const port = Number(/^(?:[a-z0-9._-]+|\[[0-9a-f:]+\]):(\d{1,5})$/i.exec(server)?.[1])
  return port > 0 && port <= 65_535
}
