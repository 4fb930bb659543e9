import type { ProviderModule } from '../core/provider.ts'
import { instagram } from './instagram/module.ts'

/** The only list of providers. A new account without a provider of its own belongs to the first one. */
export const PROVIDERS: readonly [ProviderModule, ...ProviderModule[]] = [instagram]
