import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import { createVault } from '../../src/storage/vault.ts'
import type { Installation } from '../faults/installation.ts'
import { SECRETS } from '../faults/installation.ts'
import { startInstagram } from '../support/instagram.ts'
import type { Knobs } from '../support/instagram-knobs.ts'
import type { Teardown } from '../support/temp-folder.ts'
import { startTikTok, type TikTok, tiktokSettings } from '../support/tiktok.ts'
import type { Knobs as TikTokKnobs } from '../support/tiktok-oauth.ts'

/** How a provider treats the old token when it issues a new one. */
export interface Mode {
  readonly name: string
  /** A kill between the provider's answer and the commit loses the only copy. */
  readonly mayLose: boolean
  open(t: Teardown): Promise<StandIn>
}

/** A provider, as a lane needs it. */
export interface StandIn {
  readonly url: string
  /** The path of a refresh. */
  readonly refreshPath: string
  now(): number
  /** The agent's variables; `url` leads here. */
  env(url: string): Record<string, string>
  /** The tokens that sites may get, in the order of their issue. */
  served(): ReadonlyMap<string, { readonly userId: string; readonly expiresAt: number }>
  userOf(name: string): string | undefined
  /** Stores a first token for the account; `endsAfterMs`: it is never refreshed, and ends. */
  add(site: Installation, name: string, endsAfterMs?: number): Promise<void>
  /** A person gives a new token. */
  replace(site: Installation, name: string): Promise<void>
  /** The provider no longer accepts what the store holds. */
  isDead(site: Installation, name: string): Promise<boolean>
  overlaps(): number
  /** The words that name a loss. */
  readonly lossSays: string
}

const WEEK_MS = 7 * 86_400_000

async function openInstagram(t: Teardown, knobs: Partial<Knobs>): Promise<StandIn> {
  const instagram = await startInstagram({ knobs: { minimumAgeSeconds: 0, ...knobs } })
  t.teardown(() => instagram.close())
  const users = new Map<string, string>()
  const owned = (name: string, change: { lifetimeSeconds?: number; ageSeconds?: number } = {}): string => {
    const userId = users.get(name)
    const token = instagram.issue({ ...(userId === undefined ? {} : { userId }), ...change })
    users.set(name, instagram.issued.get(token)?.userId ?? '')
    return token
  }
  return {
    url: instagram.url,
    refreshPath: '/refresh_access_token',
    now: () => instagram.clock.now(),
    env: (url) => ({ INSTAGRAM_GRAPH_URL: url }),
    served: () => instagram.issued,
    userOf: (name) => users.get(name),
    async add(site, name, endsAfterMs) {
      if (endsAfterMs === undefined) return void (await site.add(name, owned(name), { issuedAt: new Date(Date.now() - WEEK_MS) }))
      const token = owned(name, { ageSeconds: 0, lifetimeSeconds: endsAfterMs / 1000 })
      await site.add(name, token, { nextRefreshAt: null, expiresAt: new Date(instagram.issued.get(token)?.expiresAt ?? 0) })
    },
    replace: async (site, name) => void (await site.replace(name, owned(name))),
    async isDead(site, name) {
      const held = instagram.issued.get(await site.token(name))
      const now = instagram.clock.now()
      return held === undefined || held.expiresAt <= now || (held.endedAt ?? Number.POSITIVE_INFINITY) <= now
    },
    overlaps: () => instagram.overlaps.count,
    lossSays: 'no longer accepts',
  }
}

export async function openTikTok(t: Teardown, knobs: Partial<TikTokKnobs>): Promise<StandIn & { readonly tiktok: TikTok }> {
  const tiktok = await startTikTok({ knobs })
  t.teardown(() => tiktok.close())
  const vault = createVault([SECRETS.ENCRYPTION_KEY])
  const context = (name: string, column: 'access_token' | 'refresh_token') => accountContext({ provider: 'tiktok', name }, column)
  const pair = (name: string, endsAfterMs = 7_200_000) => {
    const { access, refresh } = tiktok.issue({ userId: name, accessSeconds: endsAfterMs / 1000 })
    return {
      accessToken: vault.seal(new Secret(access), context(name, 'access_token')),
      refreshToken: vault.seal(new Secret(refresh), context(name, 'refresh_token')),
      expiresAt: new Date(tiktok.tokens.get(access)?.expiresAt ?? 0),
    }
  }
  return {
    tiktok,
    url: tiktok.url,
    refreshPath: '/v2/oauth/token/',
    now: () => tiktok.clock.now(),
    env: (url) => ({ ...tiktokSettings(tiktok), TIKTOK_API_URL: url }),
    served: () => new Map([...tiktok.tokens].filter(([, { kind }]) => kind === 'access')),
    userOf: (name) => name,
    async add(site, name, endsAfterMs) {
      const nextRefreshAt = endsAfterMs === undefined ? site.store.now() : null
      const lives = { issuedAt: site.store.now(), providerUserId: name, username: name, nextRefreshAt }
      await site.store.insert(
        { name, provider: 'tiktok', state: 'active', ...pair(name, endsAfterMs), ...lives },
        { account: name, kind: 'seeded', actor: 'cli', outcome: 'ok', detail: null },
      )
    },
    async replace(site, name) {
      const { version } = await site.account(name)
      const well = { failureCount: 0, lastErrorCode: null, lastError: null, refusedAt: null, doubted: null, state: 'active' } as const
      const event = { account: name, kind: 'replaced', actor: 'cli', outcome: 'ok', detail: null } as const
      await site.store.replace(name, version, { ...pair(name), ...well, nextRefreshAt: site.store.now() }, event)
    },
    async isDead(site, name) {
      const { refreshToken } = await site.account(name)
      return !tiktok.isAlive(vault.open(refreshToken ?? '', context(name, 'refresh_token')).reveal())
    },
    overlaps: () => tiktok.wrong.overlaps,
    lossSays: 'the agent’s loss',
  }
}

export const MODES: Readonly<Record<string, readonly Mode[]>> = {
  instagram: [
    { name: 'same string', mayLose: false, open: (t) => openInstagram(t, { refreshedString: 'same' }) },
    { name: 'new string, the old one lives', mayLose: false, open: (t) => openInstagram(t, {}) },
    { name: 'strict, with grace', mayLose: false, open: (t) => openInstagram(t, { oldString: 'invalid', graceSeconds: 300 }) },
    { name: 'strict', mayLose: true, open: (t) => openInstagram(t, { oldString: 'invalid' }) },
  ],
  tiktok: [
    { name: 'TikTok, same string', mayLose: false, open: (t) => openTikTok(t, { rotation: 'same' }) },
    { name: 'TikTok, the old one lives', mayLose: false, open: (t) => openTikTok(t, { rotation: 'lenient' }) },
    { name: 'TikTok, with grace', mayLose: false, open: (t) => openTikTok(t, { rotation: 'grace' }) },
    { name: 'TikTok, strict', mayLose: true, open: (t) => openTikTok(t, { rotation: 'strict' }) },
    { name: 'TikTok, reuse ends the family', mayLose: true, open: (t) => openTikTok(t, { rotation: 'strict', reuse: 'family revoked' }) },
  ],
}
