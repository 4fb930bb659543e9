import type { Mistake, ProviderModule } from '../../core/provider.ts'
import { readApp, type TikTokConfig } from './app.ts'

const MISTAKES: readonly Mistake[] = [
  [/^act\./, 'is an access token, which ends within a day; give the refresh token, which begins with rft.'],
  [/^clt\./, 'is a token of the app, not of an account; give the account’s refresh token, which begins with rft.'],
  [/^(?:IG|TH|EA)[A-Z]{1,2}[\w-]{20,}/, 'is one of Meta, which TikTok does not take; a refresh token of TikTok begins with rft.'],
]

export const tiktok: ProviderModule<TikTokConfig> = {
  name: 'tiktok',
  title: 'TikTok',
  variables: {
    TIKTOK_CLIENT_KEY: 'text',
    TIKTOK_CLIENT_SECRET: 'secret',
    TIKTOK_SCOPES: 'list',
    TIKTOK_APP_KIND: 'text',
    TIKTOK_API_URL: 'text',
    TIKTOK_WEB_URL: 'text',
  },
  seed: { variable: 'TIKTOK_REFRESH_TOKEN', account: 'tiktok', kind: 'refresh', title: 'refresh token' },
  loopback: 'http',
  constantName: 'TikTokToken',
  mistakes: MISTAKES,
  read: readApp,
  load: async () => (await import('./tiktok.ts')).createTikTok,
}
