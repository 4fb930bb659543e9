import { readPastedToken } from '../core/pasted-token.ts'
import { Secret } from '../core/secret.ts'
import { tokenProblem } from '../core/token.ts'
import { type AllowList, parseAllowList } from '../reading/allow-list.ts'
import { constantNameProblem } from '../reading/js-constant.ts'
import { isPublicSuffix } from '../reading/public-suffix.ts'
import { sharedHostWarnings } from '../reading/shared-hosts.ts'
import type { RefreshFrequency, RefreshMode } from '../refreshing/next-refresh.ts'
import { type AgentCommand, agentCommand } from './agent-command.ts'
import { characters, keySpellings, readEnvironment, type Warning } from './environment.ts'
import { type InstagramConfig, readInstagram } from './instagram.ts'
import { createKnownSecrets } from './known-secrets.ts'
import { alertUrlProblem, printable, readHost, readPort, readTrustProxy } from './network.ts'
import { type DatabaseConfig, detectPlatform, guessAppUrl, type Platform, readDatabase } from './platform.ts'
import { checkPassword } from './weak-password.ts'

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
  /** Other spellings of the keys, which open too: a release before took quotes around them for a part of them. */
  readonly otherKeySpellings: readonly Secret[]
  readonly memcached: { readonly servers: string; readonly username: string | null; readonly password: Secret | null } | null
  readonly logLevel: string
  readonly trustProxy: boolean | string[]
  /** Signs the owner in at /admin; null = the embedded store prints a one-time password, Postgres has no sign-in. */
  readonly adminPassword: Secret | null
  readonly metricsKey: Secret | null
  readonly alertWebhookUrl: Secret | null
  readonly instagram: InstagramConfig
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

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
const FLAGS = ['true', 'false', '1', '0', 'yes', 'no', 'on', 'off'] as const
const MAKE_KEY = 'make one with: openssl rand -hex 32'

/** Reads and checks the whole environment; throws one `ConfigError` that lists every problem. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const problems: string[] = []
  const warnings: Warning[] = []
  const warn = (text: string, forOwner = false): void => void warnings.push({ text, forOwner })
  const { text, list, quoted } = readEnvironment(env, VARIABLES, warnings)

  const secret = (name: Variable, value: string | null, minimum: number, remedy: string): Secret | null => {
    if (value === null) return null
    // A release before counted the quotes, and what ran with it must not stop.
    if (value.length < (quoted(name) === null ? minimum : minimum - 2))
      problems.push(`${name}: has ${characters(value.length)}, which can be guessed; ${remedy}`)
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

  const allowedDomains = text('ALLOWED_DOMAINS')
  // Which port the system will choose for 0 is not known yet; no page is the agent's own until APP_URL names it.
  const ownOrigin = appUrl === 'http://localhost:0' ? '' : appUrl
  const allowed = parseAllowList(allowedDomains ?? ownOrigin, isPublicSuffix)
  for (const warning of sharedHostWarnings(allowed.list)) warn(`ALLOWED_DOMAINS: ${warning}`)
  problems.push(...allowed.problems.map((problem) => `${allowedDomains === null ? 'APP_URL' : 'ALLOWED_DOMAINS'}: ${problem}`))

  const startingToken = text('STARTING_TOKEN')
  const badToken = startingToken === null ? null : readPastedToken(startingToken, 'instagram').problem
  if (startingToken !== null && badToken !== null) {
    // What a release before took must not stop this one: it is only not taken for a token any more.
    if (tokenProblem(startingToken) === null) warn(`STARTING_TOKEN: ${badToken}. It is not used.`)
    else problems.push(`STARTING_TOKEN: ${badToken}`)
  }

  const jsConstantName = text('JS_CONSTANT_NAME') ?? 'InstagramToken'
  const badName = constantNameProblem(jsConstantName)
  if (badName !== null) problems.push(`JS_CONSTANT_NAME: ${badName}`)

  const database = readDatabase(env, text('DATABASE_URL'), { problems, warn })
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
    ...keySpellings(keys, quoted('ENCRYPTION_KEY')),
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
    warnings,
  }
  const mixedUp = startingToken === null ? null : createKnownSecrets(config).nameIn(startingToken)
  if (mixedUp !== null)
    warn(`STARTING_TOKEN: is the value of ${mixedUp}, or holds it, and is no token. It is not used: put the access token there.`)
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** URLs allow more: a `*` or a comma, which the allow-list would read in its own way, and a dot at the end. */
const isHost = (host: string): boolean => /^(\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*)$/.test(host)

function isServer(server: string): boolean {
  const port = Number(/^(?:[a-z0-9._-]+|\[[0-9a-f:]+\]):(\d{1,5})$/i.exec(server)?.[1])
  return port > 0 && port <= 65_535
}
