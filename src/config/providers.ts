import { readPastedToken } from '../core/pasted-token.ts'
import type { ConfiguredProvider, ProviderEnvironment, ProviderModule } from '../core/provider.ts'
import { Secret } from '../core/secret.ts'
import { tokenProblem } from '../core/token.ts'
import type { Environment, Notes } from './environment.ts'

/** An account's first token, from the environment. */
export interface Seed {
  readonly variable: string
  readonly account: string
  readonly provider: string
  readonly token: Secret
}

export function readSeed({ name, seed, mistakes }: ProviderModule, text: Environment['text'], { problems, warn }: Notes): Seed | null {
  const { variable, account } = seed
  const token = text(variable)
  if (token === null) return null
  const { problem } = readPastedToken(token, mistakes)
  // An earlier release accepted any well-formed token, so a value like this must not stop the agent.
  if (problem !== null && tokenProblem(token) === null) warn(`${variable}: ${problem}. It is not used.`)
  else if (problem !== null) problems.push(`${variable}: ${problem}`)
  return { variable, account, provider: name, token: new Secret(token) }
}

/** Null = its variables do not enable the provider. */
export function readProvider(module: ProviderModule, env: ProviderEnvironment): ConfiguredProvider | null {
  const config = module.read(env)
  if (config === null) return null
  const names = Object.keys(module.variables).filter((name) => module.variables[name] === 'secret')
  return { module, config, secrets: names.flatMap((name) => env.list(name).map((secret) => [name, new Secret(secret)] as const)) }
}
