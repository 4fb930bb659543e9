import type { JsonSchemaToTsProvider } from '@fastify/type-provider-json-schema-to-ts'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { clearFeed, type FeedDeps, fetchFeed, giveWord, setFeedOpen, setServes } from '../../accounts/feed-settings.ts'
import type { Serves } from '../../core/serves.ts'
import type { StaleUntil } from '../../reading/token-reader.ts'

const text = (maxLength: number) => ({ type: 'string', maxLength }) as const
const Params = { type: 'object', properties: { account: text(40) }, required: ['account'] } as const
const Served = {
  type: 'object',
  properties: { serves: { type: 'string', enum: ['token', 'both', 'feed', 'usual'] } },
  required: ['serves'],
} as const
const Open = { type: 'object', properties: { open: text(10) } } as const

/** What each action leads to: the key of a sentence, and until when other instances serve the old state. */
export const FEED_DONE: Readonly<Record<string, string>> = {
  serves_usual: 'FEED_MODE decides from now on what web sites get.',
  serves_token: 'Web sites get the token from now on, and no feed.',
  serves_both: 'Web sites get the feed and the token from now on.',
  serves_feed: 'Web sites get the feed alone from now on. Every address of the token answers 403, also to servers.',
  feed_open: 'Any web site may read the feed from now on.',
  feed_closed: 'Only the web sites of the list may read the feed from now on. Shared caches may show the last posts for up to a day.',
  feed_public: 'You said that the profile is public, so its posts may be shown.',
  feed_changed: 'The posts were fetched, and the feed shows them.',
  feed_unchanged: 'The posts were fetched; nothing has changed.',
  feed_empty: 'The provider lists no posts. The last ones stay until it says so again in ten minutes.',
  feed_waits: 'The provider asks for a pause, so the posts are fetched in a minute.',
  feed_lost: 'Another process fetches the posts at this moment; look again in a minute.',
  feed_cleared: 'The posts and pictures were deleted. The next reader has them fetched again.',
}

interface Parts {
  readonly owner: FeedDeps
  /** Runs the action, and shows the account with its result or its refusal. */
  readonly act: (reply: FastifyReply, account: string, work: () => Promise<string>, form: { field: string }) => Promise<FastifyReply>
  /** Adds to the result until when other instances may serve the old state. */
  readonly withStaleUntil: (done: string, staleUntil: StaleUntil) => string
}

export function feedRoutes(scope: FastifyInstance, { owner, act, withStaleUntil }: Parts): void {
  const app = scope.withTypeProvider<JsonSchemaToTsProvider>()
  const at = (what: string): string => `/admin/accounts/:account/${what}`
  const form = { field: 'feed' }

  app.post(at('serves'), { schema: { params: Params, body: Served } }, ({ params: { account }, body: { serves } }, reply) => {
    const chosen = serves === 'usual' ? null : (serves satisfies Serves)
    return act(reply, account, async () => withStaleUntil(`serves_${serves}`, await setServes(owner, account, chosen, 'owner')), form)
  })

  app.post(at('feed-open'), { schema: { params: Params, body: Open } }, ({ params: { account }, body: { open } }, reply) => {
    const isOpen = open === 'yes'
    const save = () => setFeedOpen(owner, account, isOpen, 'owner')
    return act(reply, account, async () => withStaleUntil(isOpen ? 'feed_open' : 'feed_closed', await save()), form)
  })

  app.post(at('feed-public'), { schema: { params: Params } }, ({ params: { account } }, reply) =>
    act(reply, account, async () => withStaleUntil('feed_public', await giveWord(owner, account, 'owner')), form),
  )

  app.post(at('feed-fetch'), { schema: { params: Params } }, ({ params: { account } }, reply) =>
    act(reply, account, async () => `feed_${await fetchFeed(owner, account)}`, form),
  )

  app.post(at('feed-clear'), { schema: { params: Params } }, ({ params: { account } }, reply) =>
    act(reply, account, async () => withStaleUntil('feed_cleared', await clearFeed(owner, account, 'owner')), form),
  )
}
