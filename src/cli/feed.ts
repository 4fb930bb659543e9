import { clearFeed, type FeedView, feedView, fetchFeed } from '../accounts/feed-settings.ts'
import { findAccount } from '../accounts/manage.ts'
import type { Agent } from '../agent.ts'
import type { AgentCommand } from '../config/agent-command.ts'
import type { Account } from '../core/account.ts'
import { accountPages } from '../core/account-pages.ts'
import { words } from '../core/format-time.ts'
import { megabytes } from '../core/sizes.ts'
import type { Command } from './arguments.ts'
import { noAccount } from './lists.ts'
import { drained, print, printArray } from './terminal.ts'

/** Shows the feeds, or works on one. The exit code is 1 if a feed that is read fails. */
export async function feed(owner: Agent['owner'], { account, options }: Command, command: AgentCommand): Promise<number> {
  if (options.has('clear') || options.has('fetch')) {
    const name = account ?? (await owner.store.find(null))?.name ?? 'default'
    if (options.has('clear')) {
      await clearFeed(owner, name, 'cli')
      print(`The feed of “${name}” is empty.`)
    }
    if (options.has('fetch')) print(FETCHED[await fetchFeed(owner, name)] ?? '')
    return 0
  }
  let failing = 0
  async function* pages(): AsyncGenerator<[Account, FeedView][]> {
    if (account !== null) yield await viewsOf([await findAccount(owner, account)])
    else for await (const page of accountPages(owner.store)) yield await viewsOf(page)
  }
  async function viewsOf(accounts: readonly Account[]): Promise<[Account, FeedView][]> {
    const summaries = await owner.feedSummaries.of(accounts.map(({ name }) => name))
    return accounts.flatMap((one) => {
      const view = feedView(owner, one, summaries.get(one.name) ?? null)
      if (view?.summary?.isFailing === true) failing++
      return view === null ? [] : [[one, view] as [Account, FeedView]]
    })
  }
  if (options.has('json')) {
    await printArray(mapped(pages()))
    return failing > 0 ? 1 : 0
  }
  let shown = 0
  for await (const page of pages()) {
    for (const [{ name }, view] of page) print(`${name}  ${describe(view, owner.store.now())}`)
    shown += page.length
    await drained()
  }
  if (shown === 0) {
    const isEmpty = (await owner.store.list({ after: '', limit: 1 })).length === 0
    print(isEmpty ? noAccount(command) : `No account has a feed: only ${givePosts(owner).join(' and ')} give posts.`)
  }
  return failing > 0 ? 1 : 0
}

const givePosts = ({ providers }: Agent['owner']): string[] =>
  [...providers.values()].flatMap(({ media, title }) => (media === undefined ? [] : [title]))

const FETCHED: Readonly<Record<string, string>> = {
  changed: 'The posts were fetched, and the feed shows them.',
  unchanged: 'The posts were fetched; nothing has changed.',
  empty: 'The provider lists no posts. The last ones stay until it says so again in ten minutes.',
  waits: 'The provider asks for a pause, so the posts are fetched in a minute.',
  lost: 'Another process fetches the posts at this moment.',
}

async function* mapped(pages: AsyncIterable<readonly [Account, FeedView][]>): AsyncGenerator<readonly object[]> {
  for await (const page of pages)
    yield page.map(([{ name, provider }, { summary, tokenUntil, ...view }]) => {
      const { account, version, userId, ...known } = summary ?? {}
      return { name, provider, ...view, tokenUntil, ...known }
    })
}

function describe({ serves, isOpen, publicWord, summary }: FeedView, now: Date): string {
  if (serves === 'token') return publicWord === 'needed' ? 'off until you say on its page that the profile is public' : 'off'
  const open = isOpen ? ', open to any web site' : ''
  if (summary === null) return `no reader yet${open}`
  const { postCount, bytes, changedAt, fetchedAt, readAt, nextFetchAt, isFailing, lastError } = summary
  const posts = `${postCount === 1 ? '1 post' : `${postCount} posts`}, ${megabytes(bytes)}${open}`
  const times = [
    ...(changedAt === null ? [] : [`changed ${words.inWords(changedAt, now)}`]),
    fetchedAt === null ? 'never fetched' : `fetched ${words.inWords(fetchedAt, now)}`,
    `read ${words.inWords(readAt, now)}`,
    `next ${words.dueInWords(nextFetchAt, now)}`,
  ]
  return `${isFailing ? 'stale: ' : ''}${posts}, ${times.join(', ')}${lastError === null ? '' : `. ${words.plain(lastError)}`}`
}
