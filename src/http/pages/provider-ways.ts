import { redirectUriOf } from '../../accounts/connect.ts'
import type { Provider, SetupWords } from '../../core/provider.ts'

/** How an owner gets a provider's token. */
export interface ProviderWay {
  readonly name: string
  readonly title: string
  readonly canConnect: boolean
  readonly seedVariable: string
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
    words: setup,
    redirect: redirectUriOf(appUrl, name),
    callbacks: `${appUrl}/callbacks/${name}`,
  }))
}
