import type { Provider } from '../../src/core/provider.ts'
import { Secret } from '../../src/core/secret.ts'
import { createInstagram } from '../../src/providers/instagram/instagram.ts'
import { instagram } from '../../src/providers/instagram/module.ts'
import { threads } from '../../src/providers/threads/module.ts'
import { createThreads } from '../../src/providers/threads/threads.ts'
import { type Answer, type Grant, type Kind, refusal, sending, troubleAt } from './kind.ts'
import { type AccountScript, DAY_MS, type Script } from './script.ts'

// Long-lived tokens: 60 days from each refresh, refreshed only when a day old, and dead for ever once they have ended.
// https://developers.facebook.com/docs/instagram-platform/reference/refresh_access_token

interface Token {
  readonly grant: Grant
  readonly userId: string
  issuedAt: number
  expiresAt: number
  /** Where a refresh ends the string that it replaces. */
  replacedAt: number
}

const LIFE_SECONDS = 5_183_944
const LIE_ONCE_IN = 500

/** Meta does not say what a refresh does to the old string; each of these was reported. Of five accounts, two, two and one. */
type Rotation = 'same string' | 'old one lives on' | 'old one ends'
const rotationOf = ({ index }: AccountScript): Rotation =>
  index % 5 === 4 ? 'old one ends' : index % 2 === 0 ? 'same string' : 'old one lives on'

type Fetch = typeof globalThis.fetch

/** What the two services of Meta whose tokens renew themselves differ in. */
const SERVICES = {
  instagram: {
    create: (fetch: Fetch): Provider => ({ ...instagram, ...createInstagram({ graphUrl: 'https://graph.example', fetch }) }),
    user: (userId: string, username: string) => ({ id: `9${userId}`, user_id: userId, username }),
  },
  threads: {
    create: (fetch: Fetch): Provider => ({ ...threads, ...createThreads({ graphUrl: 'https://graph.example', fetch }) }),
    user: (id: string, username: string) => ({ id, username }),
  },
}

export const createInstagramWorld = (script: Script): Kind => createWorld(script, SERVICES.instagram)
export const createThreadsWorld = (script: Script): Kind => createWorld(script, SERVICES.threads)

function createWorld(script: Script, service: (typeof SERVICES)[keyof typeof SERVICES]): Kind {
  const tokens = new Map<string, Token>()
  const restoredAt = new Map<string, number>()
  let calls = 0

  function issue(grant: Grant, userId: string, at: number): string {
    const text = `IGAA${grant.account.name.replace('-', '')}n${tokens.size}`
    tokens.set(text, {
      grant,
      userId,
      issuedAt: at,
      expiresAt: at + LIFE_SECONDS * 1000,
      replacedAt: Number.POSITIVE_INFINITY,
    })
    return text
  }
  const found = (text: string): Token => {
    const token = tokens.get(text)
    if (token === undefined) throw new Error(`This world has not issued ${text}`)
    return token
  }
  const endOf = ({ grant, expiresAt, replacedAt }: Token): number => Math.min(grant.endsAt, expiresAt, replacedAt)
  const lapsedSince: Kind['lapsedSince'] = ({ name, lapses }, at) => {
    const since = lapses.findLast((lapse) => lapse <= at) ?? null
    return since !== null && (restoredAt.get(name) ?? 0) < since ? since : null
  }

  function refresh(text: string, at: number): Answer {
    const token = found(text)
    const { account } = token.grant
    if (lapsedSince(account, at) !== null) return refusal(10, 'Application does not have permission for this action')
    if (at - token.issuedAt < DAY_MS) return refusal(100, 'Unsupported request - method type: get')
    const rotation = rotationOf(account)
    let given = text
    if (rotation === 'same string') Object.assign(token, { issuedAt: at, expiresAt: at + LIFE_SECONDS * 1000 })
    else given = issue(token.grant, token.userId, at)
    if (rotation === 'old one ends') token.replacedAt = at
    return { status: 200, body: { access_token: given, token_type: 'bearer', expires_in: LIFE_SECONDS } }
  }

  return {
    lifeSeconds: LIFE_SECONDS,
    refreshPath: '/refresh_access_token',
    rarity: 1,
    calls: () => calls,
    connect(account, at) {
      const endsAt = account.ends.find((end) => end.at > at)?.at ?? Number.POSITIVE_INFINITY
      // Another user takes the place of one who withdrew.
      const withdrawals = account.ends.filter((end) => end.at <= at && end.withdraws).length
      return issue({ account, endsAt }, `1784140${String(account.index * 1000 + withdrawals).padStart(10, '0')}`, at)
    },
    granted: (text) => ({
      accessToken: new Secret(text),
      refreshToken: null,
      expiresInSeconds: LIFE_SECONDS,
      refreshExpiresInSeconds: null,
      scopes: null,
    }),
    approvalEnd: () => Number.POSITIVE_INFINITY,
    grantOf: (text) => found(text).grant,
    workingUntil: (text) => endOf(found(text)),
    expiryOf: (text) => found(text).expiresAt,
    lapsedSince,
    restore: ({ name }, at) => void restoredAt.set(name, at),
    lose(text, at) {
      const { grant } = found(text)
      if (rotationOf(grant.account) === 'old one ends') grant.endsAt = Math.min(grant.endsAt, at)
    },

    answer(host, path, text, at) {
      calls++
      const { name } = found(text).grant.account
      const trouble = troubleAt(script, { host, name, at })
      if (trouble !== null) return trouble.answer
      if (script.happens('lie', name, at, script.lies.at(at) === null ? LIE_ONCE_IN : 2)) return refusal(190, 'Invalid OAuth access token')
      if (endOf(found(text)) <= at) return refusal(190, 'Error validating access token')
      if (path === '/refresh_access_token') return refresh(text, at)
      const { userId } = found(text)
      return { status: 200, body: service.user(userId, name.replace('-', '.')) }
    },

    provider: (send) => service.create(sending(send, ({ searchParams }) => searchParams.get('access_token') ?? '')),
  }
}
