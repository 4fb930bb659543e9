import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { parseArgs } from 'node:util'
import { tempFolder } from '../test/support/temp-folder.ts'
import { askDistinct, HAS_WRK, type Load, load, residentMiB } from './load.ts'
import { type Answer, CAN_PIN, ORIGIN, type Server, seedStore, startAgent, startBare } from './servers.ts'
import { type Floor, median, print, type Row } from './table.ts'

const { values: options } = parseArgs({ options: { quick: { type: 'boolean' }, check: { type: 'boolean' } } })
const PAIRS = options.quick ? 2 : 5
// wrk takes whole seconds.
const SECONDS = options.quick ? 1 : 2
const STARTS = options.quick ? 3 : 9
const MEMORY_STEPS = 5
// On either side V8 doubles its young generation once, after about a million requests. Only a longer run distinguishes that
// from a leak.
const FLAT_STEPS = 15
const MEMORY_STEP = options.quick ? 10_000 : 200_000
const DISTINCT = options.quick ? 10_000 : 100_000

const ALLOWED = { origin: ORIGIN }
const ALLOWED_JSON = '/token.json, allowed'
const REFUSED = '/token.json, refused'
const folder = tempFolder(undefined, 'bench')
const fill = await seedStore(folder)
console.log(
  `first fill: ${fill.posts} posts in ${fill.seconds.toFixed(1)} s; the child ${fill.childMiB.toFixed(0)} MiB at most; ${(fill.pictureBytes / 1e6).toFixed(1)} MB in the database`,
)

const rows: Row[] = [...(await throughput()), await startUp(), ...(await unreadFeeds()), ...(await memory()), ...(await distinctQueries())]
console.log(`Node ${process.versions.node}; load by ${HAS_WRK ? 'wrk' : 'autocannon, which flatters the slower side'}; ${pinning()}.`)
process.exitCode = print(rows) || !options.check ? 0 : 1

function pinning(): string {
  return CAN_PIN ? 'server on core 0, load on core 1' : 'nothing pinned, for want of taskset'
}

/**
 * Sends each kind of request in turn to the agent and to a bare route with the same answer. Each pair of figures gets a new
 * pair of processes, because two processes of one program differ by some percent, depending on V8's early optimizations.
 */
async function throughput(): Promise<Row[]> {
  const results = new Map<string, { agent: Load[]; bare: Load[] }>()
  for (let pair = 0; pair < PAIRS; pair++) {
    const agent = await startAgent(folder)
    const kinds = await kindsOfRequests(agent)
    const bare = await startBare(
      kinds.map(({ answer }) => answer),
      folder,
    )
    // The order alternates.
    const sides = pair % 2 === 0 ? (['agent', 'bare'] as const) : (['bare', 'agent'] as const)
    for (const isWarm of [false, true]) {
      for (const { what, path, headers, answer } of kinds) {
        const both = results.get(what) ?? { agent: [], bare: [] }
        results.set(what, both)
        for (const side of sides) {
          const [server, asked] = side === 'agent' ? [agent, path] : [bare, answer.path]
          const result = await load(server, asked, headers, answer.status, SECONDS)
          if (isWarm) both[side].push(result)
        }
      }
    }
    await Promise.all([agent.stop(), bare.stop()])
  }

  const allowed = results.get(ALLOWED_JSON)?.agent ?? []
  const compare = (what: string, ours: Load[], theirs: Load[], floor: Floor | null): Row => ({
    what,
    ours: median(ours.map(({ perSecond }) => perSecond)),
    theirs: median(theirs.map(({ perSecond }) => perSecond)),
    unit: '/s',
    ratio: median(ours.map(({ perSecond }, at) => perSecond / (theirs[at]?.perSecond ?? 0))),
    floor,
    note: `processor time ${median(ours.map((one, at) => one.cpuMicrosPerRequest / (theirs[at]?.cpuMicrosPerRequest ?? 0))).toFixed(2)} ×`,
  })
  return [
    ...Array.from(results, ([what, { agent, bare }]) => compare(what, agent, bare, what === REFUSED ? null : { atLeast: 0.9 })),
    compare('a refusal : an allowed read', results.get(REFUSED)?.agent ?? [], allowed, { atLeast: 1 }),
  ]
}

interface Kind {
  readonly what: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly answer: Answer
}

async function kindsOfRequests({ url }: Server): Promise<Kind[]> {
  const kind = async (what: string, path: string, headers: Record<string, string>, barePath: string): Promise<Kind> => {
    const { status, headers: got, bytes } = await askRaw(url + path, headers)
    const added = ['date', 'connection', 'keep-alive', 'content-length']
    const kept = Object.fromEntries(Object.entries(got).filter(([name]) => !added.includes(name)))
    const isBinary = kept['content-encoding'] !== undefined || /^image/.test(kept['content-type'] ?? '')
    const body = bytes.toString(isBinary ? 'base64' : 'utf8')
    return { what, path, headers, answer: { path: barePath, status, headers: kept, body, isBinary } }
  }
  const json = await kind(ALLOWED_JSON, '/token.json', ALLOWED, '/token.json')
  const feed = await kind('/media.json, 24 posts', '/media.json', ALLOWED, '/media.json')
  const picture = new URL(JSON.parse(feed.answer.body).data[0].picture.sizes[0].url).pathname
  return [
    json,
    feed,
    await kind('/media.json, gzip', '/media.json', { ...ALLOWED, 'accept-encoding': 'gzip' }, '/zipped'),
    await kind('/media.json, unchanged', '/media.json', { ...ALLOWED, 'if-none-match': feed.answer.headers['etag'] ?? '' }, '/same-feed'),
    await kind('a picture from memory', picture, {}, '/picture'),
    await kind('/token.js, allowed', '/token.js', ALLOWED, '/token.js'),
    await kind(REFUSED, '/token.json', { origin: 'https://elsewhere.example' }, '/refused'),
    await kind('/token.json, unchanged', '/token.json', { ...ALLOWED, 'if-none-match': json.answer.headers['etag'] ?? '' }, '/unchanged'),
  ]
}

/** As it was sent: `fetch` would decompress it. */
async function askRaw(url: string, headers: Record<string, string>) {
  const request = get(url, { headers })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const bytes = Buffer.concat(await response.toArray())
  return { status: response.statusCode ?? 0, headers: response.headers as Record<string, string>, bytes }
}

/** Start and memory of an agent whose feeds nobody reads, against one without feeds. */
async function unreadFeeds(): Promise<Row[]> {
  const measured = { on: { ms: [] as number[], mib: [] as number[] }, off: { ms: [] as number[], mib: [] as number[] } }
  for (let round = 0; round < STARTS; round++)
    for (const mode of round % 2 === 0 ? (['on', 'off'] as const) : (['off', 'on'] as const)) {
      const server = await startAgent(folder, { settings: { FEED_MODE: mode } })
      await load(server, '/token.json', ALLOWED, 200, 1)
      measured[mode].ms.push(server.startMs)
      measured[mode].mib.push(residentMiB(server.pid))
      await server.stop()
    }
  const row = (what: string, unit: string, of: 'ms' | 'mib'): Row => {
    const { on, off } = measured
    const ratio = median(on[of].map((value, at) => value / (off[of][at] ?? 0)))
    return {
      what: `${what}, feeds that nobody reads : none`,
      ours: median(on[of]),
      theirs: median(off[of]),
      unit,
      ratio,
      floor: { atMost: 1.1 },
    }
  }
  return [row('start', 'ms', 'ms'), row('memory', 'MiB', 'mib')]
}

/** Measures from the process's start to its first token. */
async function startUp(): Promise<Row> {
  const answers = [{ path: '/token.json', status: 200, headers: {}, body: '{}' }]
  const times = { agent: [] as number[], bare: [] as number[] }
  for (let round = 0; round <= STARTS; round++) {
    for (const side of round % 2 === 0 ? (['agent', 'bare'] as const) : (['bare', 'agent'] as const)) {
      const server = side === 'agent' ? await startAgent(folder) : await startBare(answers, folder)
      await server.stop()
      if (round > 0) times[side].push(server.startMs)
    }
  }
  const ratio = median(times.agent.map((ms, at) => ms / (times.bare[at] ?? 0)))
  return { what: 'start to first token', ours: median(times.agent), theirs: median(times.bare), unit: 'ms', ratio, floor: { atMost: 3 } }
}

async function memory(): Promise<Row[]> {
  const agent = await startAgent(folder)
  const kinds = (await kindsOfRequests(agent)).slice(0, 1)
  const bare = await startBare(
    kinds.map(({ answer }) => answer),
    folder,
  )
  const ours: number[] = []
  const theirs: number[] = []
  for (const [server, samples, steps] of [
    [agent, ours, FLAT_STEPS],
    [bare, theirs, MEMORY_STEPS],
  ] as const) {
    for (let step = 0; step < steps; step++) {
      for (let requests = 0; requests < MEMORY_STEP; ) {
        requests += (await load(server, '/token.json', ALLOWED, 200, SECONDS)).requests
      }
      samples.push(residentMiB(server.pid))
    }
    await server.stop()
  }
  const amount = (MEMORY_STEPS * MEMORY_STEP).toLocaleString('en')
  const last = ours[MEMORY_STEPS - 1] ?? Number.NaN
  const lastBare = theirs.at(-1) ?? Number.NaN
  return [
    { what: `memory after ${amount} requests`, ours: last, theirs: lastBare, unit: 'MiB', ratio: last / lastBare, floor: { atMost: 1.3 } },
    growth(`memory at ${MEMORY_STEP.toLocaleString('en')} a step`, ours.slice(0, MEMORY_STEPS)),
    growth(`memory, ${FLAT_STEPS / MEMORY_STEPS} times as long`, ours),
  ]
}

/** Flat = the minimum of the second half is at most 1.1 times the maximum of the first. */
function growth(what: string, samples: readonly number[]): Row {
  const half = Math.ceil(samples.length / 2)
  const before = Math.max(...samples.slice(0, half))
  const after = Math.min(...samples.slice(half))
  const note = samples.map((mib) => mib.toFixed(0)).join(' → ')
  return { what: `${what}, later : earlier`, ours: after, theirs: before, unit: 'MiB', ratio: after / before, floor: { atMost: 1.1 }, note }
}

/** Made-up addresses must neither fill the memory nor reach the store. */
async function distinctQueries(): Promise<Row[]> {
  const agent = await startAgent(folder, { countReads: true })
  const paths = [
    (at: number) => `/token.js?const=t${at}`,
    (at: number) => `/token.json?q${at}=${at}`,
    (at: number) => `/token.js?const=t-${at}`,
  ]
  // Warm up to the usual size first, so that later growth comes from the made-up addresses.
  await load(agent, '/token.json', ALLOWED, 200, 2 * SECONDS)
  const [startedMs, atStart] = [performance.now(), agent.stderr().length]
  const samples: number[] = []
  const steps = 5
  for (let step = 0; step < steps; step++) {
    const amount = DISTINCT / steps
    const answers = await askDistinct(agent, amount, ALLOWED, (at) => paths[at % 3]?.(step * amount + at) ?? '')
    const refused = Math.floor(amount / 3)
    if (answers[400] !== refused || answers[200] !== amount - refused) throw new Error(`unexpected answers: ${JSON.stringify(answers)}`)
    samples.push(residentMiB(agent.pid))
  }
  await agent.stop()
  const seconds = (performance.now() - startedMs) / 1000
  const reads = [
    ...agent
      .stderr()
      .slice(atStart)
      .matchAll(/store reads: (\d+)/g),
  ].map(([, count]) => Number(count))
  const aSecond = reads.reduce((sum, count) => sum + count, 0) / seconds
  return [
    growth(`memory, distinct queries`, samples),
    {
      what: 'store reads a second',
      ours: aSecond,
      theirs: 1,
      unit: '/s',
      ratio: aSecond,
      floor: { atMost: 1 },
      note: `most ${Math.max(0, ...reads)}`,
    },
  ]
}
