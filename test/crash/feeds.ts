import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createInstallation } from '../faults/installation.ts'
import { type Agent, startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { startPostgres } from '../support/postgres.ts'
import { type Teardown, tempFolder } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'

export interface FeedCrashReport {
  readonly kills: number
  readonly fetches: number
  readonly looks: number
  readonly pictures: number
  readonly violations: readonly string[]
}

const ACCOUNTS = 24
/** Real leases outlast the run; a call of this run ends within a second. */
const LEASE_SECONDS = 15

// Each feed is due again when its attempt ends, so that every process always has work.
const TIGHT_LOOP = `
  create function tight() returns trigger language plpgsql as $$ begin
    if new.attempt_id is null then new.next_fetch_at = statement_timestamp(); end if;
    if new.lease_until is not null then new.lease_until = statement_timestamp() + interval '${LEASE_SECONDS} seconds'; end if;
    return new;
  end $$;
  create trigger tight before update on feeds for each row execute function tight();`

// One statement sees one state of both tables.
const MISSING = `select account, post->>'id' as post, size->>'width' as width
  from feeds, jsonb_array_elements(posts::jsonb) post, jsonb_array_elements(post->'picture'->'sizes') size
  where jsonb_typeof(post->'picture') = 'object' and not exists (
    select 1 from pictures where account = feeds.account and name = post->'picture'->>'name' and width = (size->>'width')::int)`
const KEPT = 'select cast(count(*) as integer) as n from pictures'
const ORPHANS = `select account from pictures where not exists (select 1 from feeds where account = pictures.account)`

/** Kills processes that fetch the same feeds with -9, and looks meanwhile whether a feed names a picture that is not there. */
export async function crashFeeds(t: Teardown, { kills, processes }: { kills: number; processes: number }): Promise<FeedCrashReport> {
  const [postgres, instagram] = await Promise.all([startPostgres(t), startInstagram({ knobs: { postPictures: 'own', mediaCount: 5 } })])
  t.teardown(() => instagram.close())
  const calls = await startCounter(t, instagram.url)
  const { url } = await postgres.createDatabase(t)
  const site = await createInstallation(t, { databaseUrl: url, env: { INSTAGRAM_GRAPH_URL: calls.url, FEED_POSTS: '5' } })
  await site.query(TIGHT_LOOP)
  for (let n = 0; n < ACCOUNTS; n++) {
    const userId = `1784140000000${String(n).padStart(4, '0')}`
    const token = instagram.issue({ userId, username: `shop.${n}` })
    await site.add(`shop-${n}`, token, { providerUserId: userId, nextRefreshAt: new Date(Date.now() + 86_400_000), nextCheckAt: null })
    await site.query(
      `insert into feeds (account, user_id, read_at, next_fetch_at) values ($1, $2, statement_timestamp(), statement_timestamp())`,
      [`shop-${n}`, userId],
    )
  }

  const violations = new Set<string>()
  let looks = 0
  let isOver = false
  async function watch(): Promise<void> {
    while (!isOver) {
      for (const { account, post } of await site.query<{ account: string; post: string }>(MISSING))
        violations.add(`the feed of ${account} names a picture of ${post} that is not there`)
      looks++
      instagram.knobs.newestPost++
      await sleep(20)
    }
  }
  const watching = watch()

  const start = (): Promise<Agent> => startAgent(t, { env: site.env, cwd: tempFolder(t, 'feed-crash'), ready: null })
  const running = await Promise.all(Array.from({ length: processes }, start))
  for (let kill = 0; kill < kills; kill++) {
    await sleep(200 + Math.random() * 1_500)
    const at = kill % processes
    await running[at]?.kill9()
    running[at] = await start()
  }
  // On a busy machine little happens between two kills.
  const kept = async () =>
    ((await site.query<{ n: number }>(KEPT))[0]?.n ?? 0) > 50 && (instagram.counts['/me/media'] ?? 0) > 20 && looks > 50
  await waitFor('feeds to be fetched and looked at', kept, { timeoutMs: 120_000 })
  await Promise.all(running.map((agent) => agent.kill9()))
  isOver = true
  await watching
  const [pictures] = await site.query<{ n: number }>(KEPT)
  for (const { account } of await site.query<{ account: string }>(ORPHANS)) violations.add(`pictures of ${account} without a feed`)
  if (calls.overlaps() > 0) violations.add(`${calls.overlaps()} calls of one account overlapped`)
  return { kills, fetches: instagram.counts['/me/media'] ?? 0, looks, pictures: pictures?.n ?? 0, violations: [...violations] }
}

/** Passes calls on, and counts those about the posts of one account that overlap. */
async function startCounter(t: Teardown, target: string): Promise<{ url: string; overlaps(): number }> {
  const open = new Map<string, number>()
  let overlaps = 0
  const own = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const server = createServer(async ({ url = '/', headers }, response) => {
    const { pathname, searchParams } = new URL(url, target)
    const token = pathname === '/me/media' ? (searchParams.get('access_token') ?? '') : null
    if (token !== null) {
      const count = (open.get(token) ?? 0) + 1
      open.set(token, count)
      if (count > 1) overlaps++
    }
    try {
      if (token !== null) await sleep(Math.random() * 60)
      const answer = await fetch(target + url, { headers: { accept: headers.accept ?? '*/*' } })
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
      const body = Buffer.from(await answer.arrayBuffer())
      // The addresses of pictures lead here too: the agent takes them from the provider's own host alone.
      response.end(token === null ? body : body.toString().replaceAll(JSON.stringify(target).slice(1, -1), own()))
    } catch {
      response.destroy()
    } finally {
      if (token !== null) open.set(token, (open.get(token) ?? 1) - 1)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: own(), overlaps: () => overlaps }
}

export function feedCrashFigures({ kills, fetches, looks, pictures, violations }: FeedCrashReport): string {
  return `${kills} kills, ${fetches} fetches, ${pictures} pictures at the end, ${looks} looks; ${violations.length} violations${violations.map((what) => `\n  ${what}`).join('')}`
}
