import { redirectUriOf } from '../../accounts/connected.ts'
import { DEFAULT_ACCOUNT } from '../../core/account.ts'
import type { Provider, SetupWords } from '../../core/provider.ts'

/** How an owner gets a provider's token. */
export interface ProviderWay {
  readonly name: string
  readonly title: string
  readonly canConnect: boolean
  readonly seedVariable: string
  readonly seedAccount: string
  /** The words of the command that takes a first token. */
  readonly seedCommand: string
  readonly words: SetupWords
  readonly redirect: string
  readonly callbacks: string
}

export function waysOf(providers: ReadonlyMap<string, Provider>, appUrl: string): ProviderWay[] {
  return [...providers.values()].map(({ name, title, seed, connect, setup }) => ({
    name,
    title,
    canConnect: connect !== undefined,
    seedVariable: seed.variable,
    seedAccount: seed.account,
    seedCommand: seed.account === DEFAULT_ACCOUNT ? 'seed' : `seed ${seed.account}`,
    words: setup,
    redirect: redirectUriOf(appUrl, name),
    callbacks: `${appUrl}/callbacks/${name}`,
  }))
}
