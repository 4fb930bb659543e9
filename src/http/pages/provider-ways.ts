import { redirectUriOf } from '../../accounts/connect.ts'
import type { SetupWords } from '../../core/provider.ts'
import type { HttpDeps } from '../deps.ts'

/** How an owner comes to a token of one provider. */
export interface ProviderWay {
  readonly name: string
  readonly title: string
  readonly canConnect: boolean
  readonly words: SetupWords
  readonly redirect: string
  readonly callbacks: string
}

export function waysOf({ owner, settings: { appUrl } }: Pick<HttpDeps, 'owner' | 'settings'>): ProviderWay[] {
  return [...owner.providers.values()].map(({ name, title, connect, setup }) => ({
    name,
    title,
    canConnect: connect !== undefined,
    words: setup,
    redirect: redirectUriOf(appUrl, name),
    callbacks: `${appUrl}/callbacks/${name}`,
  }))
}
