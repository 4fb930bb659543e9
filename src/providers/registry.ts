import type { ProviderModule } from '../core/provider.ts'
import { facebook } from './facebook/module.ts'
import { instagram } from './instagram/module.ts'
import { threads } from './threads/module.ts'
import { tiktok } from './tiktok/module.ts'

/** The only list of providers. The first one is the default for a new account. */
export const PROVIDERS: readonly [ProviderModule, ...ProviderModule[]] = [instagram, threads, facebook, tiktok]
