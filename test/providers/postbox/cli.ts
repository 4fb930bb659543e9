import { registerHooks } from 'node:module'

// The agent with one more line in its registry.
const registry = new URL('../../../src/providers/registry.ts', import.meta.url).href
const withPostbox = new URL('registry.ts', import.meta.url).href
registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context)
    return found.url === registry ? { ...found, url: withPostbox } : found
  },
})
const { main } = await import('../../../src/cli/main.ts')
await main()
