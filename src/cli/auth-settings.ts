import type { Agent } from '../agent.ts'
import type { Config } from '../config/config.ts'
import { ACCOUNT_NAME_RULE, isAccountName } from '../core/account.ts'
import type { Provider } from '../core/provider.ts'
import type { Command } from './arguments.ts'
import { secondWords } from './commands.ts'
import type { Surroundings } from './surroundings.ts'
import { UsageError } from './terminal.ts'
import { isPlain, looksSecret, nearest } from './words.ts'

/** What `auth` was asked for, with all arguments understood. */
export interface AuthSettings {
  readonly provider: Provider
  readonly account: string
  /** Tried in this order. */
  readonly redirectUris: readonly string[]
  /** Null = no listener: the provider sends the person to another host. */
  readonly listen: string | null
  readonly mode: 'wait' | 'start' | 'code'
  readonly browser: readonly string[] | null
  readonly objectId: string | null
  readonly otherUser: boolean
  readonly json: boolean
}

/** Registered in each app of Meta, which compares the whole address. */
const PORTS = [3764, 3765, 3766, 3767, 3768, 3769] as const
const HTTP_PATH = '/callback/'
const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '[::1]']

/** The redirect URIs of a terminal, as they are registered at the provider. */
export function registeredRedirects({ loopback }: Pick<Provider, 'loopback'>): string[] {
  return loopback === 'http' ? [`http://127.0.0.1:*${HTTP_PATH}`] : PORTS.map((port) => `https://localhost:${port}/`)
}

/** Throws one UsageError with all problems. */
export function readSettings(
  { rest, options }: Pick<Command, 'rest' | 'options'>,
  { owner }: Pick<Agent, 'owner'>,
  { config, around }: { config: Config; around: Surroundings },
): AuthSettings {
  const problems: string[] = []
  const [typed = '', named] = rest
  const provider = owner.providers.get(typed)
  if (provider?.connect === undefined) throw new UsageError(unconnectable(typed, provider, config))
  const account = named ?? provider.seed.account
  if (!isAccountName(account) || looksSecret(account)) problems.push(`That is not an account’s name. ${ACCOUNT_NAME_RULE}`)
  const redirect = options.has('redirect') ? readRedirect(options.get('redirect') ?? '', provider, problems) : null
  const listen = options.get('listen') ?? (around.isContainer ? 'all' : 'loopback')
  if (!/^(?:all|loopback|[\d.]+|[\da-f:]+)$/i.test(listen)) problems.push('--listen takes loopback, all, or an address of this machine.')
  const code = options.get('code')
  if (code !== undefined && code !== '-')
    problems.push('--code takes “-” alone and reads standard input: an argument stands in the list of processes.')
  if (code !== undefined && options.has('start')) problems.push('--start and --code are two commands: first one, then the other.')
  const objectId = options.get('object-id') ?? null
  if (objectId !== null && !/^\d{1,40}$/.test(objectId))
    problems.push('--object-id takes the number of one of the accounts that the login leads to.')
  const mode = code !== undefined ? 'code' : options.has('start') ? 'start' : 'wait'
  const browser = options.has('no-browser') || mode !== 'wait' ? null : around.browser
  if (mode === 'wait' && browser === null && !around.isInteractive)
    problems.push('Nobody can approve here. Run with --start, open the address anywhere, then run with --code -.')
  if (problems.length > 0) throw new UsageError(problems.join('\n'))
  const isHere = redirect === null || LOOPBACK_HOSTS.includes(redirect.hostname)
  return {
    provider,
    account,
    redirectUris: redirect === null ? defaultRedirects(provider, mode) : [redirect.href],
    listen: mode === 'wait' && isHere ? listen : null,
    mode,
    browser,
    objectId,
    otherUser: options.has('other-user'),
    json: options.has('json'),
  }
}

/** Without a listener the port only has to be one that the provider accepts. */
function defaultRedirects({ loopback }: Provider, mode: AuthSettings['mode']): string[] {
  return loopback === 'http' ? [`http://127.0.0.1:${mode === 'wait' ? 0 : PORTS[0]}${HTTP_PATH}`] : registeredRedirects({})
}

function readRedirect(text: string, { title, loopback }: Provider, problems: string[]): URL | null {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '' || url.username !== '') {
    problems.push('--redirect takes the redirect URI as it is registered, such as https://localhost:3764/, without a query.')
    return null
  }
  if (url.protocol === 'http:' && loopback !== 'http') {
    problems.push(`${title} accepts https only, on localhost too: https://localhost:${PORTS[0]}/.`)
    return null
  }
  return url
}

/** Why a provider is not in use here, or cannot connect accounts. */
export function unconnectable(typed: string, provider: Provider | undefined, { modules }: Config): string {
  const module = modules.find(({ name }) => name === (provider?.name ?? typed))
  if (module !== undefined) {
    const [id, secret] = Object.keys(module.variables)
    return `${module.title} is not set up here: set ${id} and ${secret}. “auth providers” says what to register where.`
  }
  const names = modules.map(({ name }) => name)
  const others = secondWords('auth')
  const near = nearest(typed, [...names, ...others])
  const hint = near === null ? '' : ` Did you mean “${others.includes(near) ? `auth ${near}` : near}”?`
  return `${isPlain(typed) ? `There is no provider “${typed}”` : 'auth takes the name of a provider'}: one of ${names.join(', ')}.${hint}`
}
