import type { ConfiguredProvider, Provider } from '../core/provider.ts'

/** Loads the code of these providers, by name. */
export async function loadProviders(providers: readonly ConfiguredProvider[]): Promise<Map<string, Provider>> {
  const load = async ({ module, config }: ConfiguredProvider): Promise<[string, Provider]> => {
    const create = await module.load()
    return [module.name, { ...module, ...create(config, { fetch: globalThis.fetch, now: Date.now }) }]
  }
  return new Map(await Promise.all(providers.map(load)))
}
