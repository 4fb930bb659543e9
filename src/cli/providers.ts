import { redirectUriOf } from '../accounts/connected.ts'
import type { Config } from '../config/config.ts'
import type { Provider } from '../core/provider.ts'
import { registeredRedirects } from './auth-settings.ts'
import { print } from './terminal.ts'

/** One provider as `auth providers --json` prints it. Scripts rely on the names. */
interface ProviderLine {
  readonly provider: string
  readonly title: string
  /** Accounts can be connected, in the browser and from a terminal. */
  readonly canConnect: boolean
  /** The variables that are missing for that. */
  readonly missing: readonly string[]
  /** The redirect URIs to register at the provider: for the agent's pages, and for a terminal. */
  readonly register: { readonly web: string; readonly terminal: readonly string[] }
  /** The variable that holds a first token, and the kind of that token. */
  readonly seed: { readonly variable: string; readonly kind: 'access' | 'refresh'; readonly title: string }
}

/** The exit code is 1 if no provider is set up. */
export function listProviders(config: Config, providers: ReadonlyMap<string, Provider>, json: boolean): number {
  const lines = config.modules.map((module): ProviderLine => {
    const { name, title, seed, variables } = module
    const connect = providers.get(name)?.connect
    return {
      provider: name,
      title,
      canConnect: connect !== undefined,
      // A module names the two variables of its app first.
      missing: connect === undefined ? Object.keys(variables).slice(0, 2) : [],
      register: { web: redirectUriOf(config.appUrl, name), terminal: registeredRedirects(module) },
      seed: { variable: seed.variable, kind: seed.kind, title: seed.title },
    }
  })
  if (json) print(JSON.stringify(lines, null, 2))
  else for (const line of lines) printProvider(line)
  return lines.some(({ canConnect }) => canConnect) ? 0 : 1
}

function printProvider({ title, provider, canConnect, missing, register, seed }: ProviderLine): void {
  print(`${provider}: ${title}, ${canConnect ? 'set up' : `not set up: ${missing.join(' and ')} are missing`}`)
  print(`  register     ${register.web}    for the agent’s pages`)
  const [first, ...others] = register.terminal
  if (first !== undefined)
    print(`               ${first}    for a terminal${others.length === 0 ? '' : `, and the same with ${portsOf(others)}`}`)
  print(`  first token  ${seed.variable}, a ${seed.title}`)
}

const portsOf = (redirects: readonly string[]): string => redirects.map((one) => new URL(one).port).join(', ')
