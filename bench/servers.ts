import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { createAgent } from '../src/agent.ts'
import { readConfig } from '../src/config/config.ts'
import { Secret } from '../src/core/secret.ts'
import { accountContext } from '../src/core/vault.ts'
import { createLogger } from '../src/logger.ts'
import { freePort } from '../test/support/free-port.ts'
import { startInstagram } from '../test/support/instagram.ts'
import { type Launched, launch } from '../test/support/process.ts'
import { residentMiB, type Target } from './load.ts'

const AGENT = fileURLToPath(new URL('../bin/token-agent.js', import.meta.url))
const BARE = fileURLToPath(new URL('bare-server.js', import.meta.url))
const COUNTER = fileURLToPath(new URL('count-store-reads.js', import.meta.url))
const DAY_MS = 86_400_000
const USER = '17841400000000001'

export const ORIGIN = 'https://www.example.com'
export const CAN_PIN = spawnSync('taskset', ['-p', '-c', '1', String(process.pid)]).status === 0

export interface Server extends Target {
  readonly startMs: number
  stderr(): string
  stop(): Promise<void>
}

/** An answer of the agent, which the bare server repeats. */
export interface Answer {
  readonly path: string
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
  /** `body` is in base64. */
  readonly isBinary?: boolean
}

/** What the first fetch of a feed takes. */
export interface Fill {
  readonly seconds: number
  /** The most resident memory of the child that reduces pictures. */
  readonly childMiB: number
  readonly pictureBytes: number
  readonly posts: number
}

/** Creates a store in this folder with one account, whose token is valid for two months and due in one, and whose feed is there. */
export async function seedStore(folder: string): Promise<Fill> {
  // What follows the picture makes each one another.
  const photo = await drawPhoto()
  const instagram = await startInstagram({
    knobs: { postPictures: 'own', pictureBytes: (path) => Buffer.concat([photo, Buffer.from(path)]) },
  })
  const env = { DATABASE_URL: `sqlite:${folder}/agent.sqlite`, INSTAGRAM_GRAPH_URL: instagram.url }
  const agent = await createAgent(readConfig(env), createLogger('silent'))
  await agent.migrate('server')
  const token = new Secret(instagram.issue({ userId: USER }))
  const account = {
    name: 'default',
    provider: 'instagram',
    state: 'active' as const,
    accessToken: agent.vault.seal(token, accountContext({ provider: 'instagram', name: 'default' }, 'access_token')),
    providerUserId: USER,
    issuedAt: new Date(),
    expiresAt: new Date(Date.now() + 60 * DAY_MS),
    nextRefreshAt: new Date(Date.now() + 30 * DAY_MS),
  }
  await agent.store.insert(account, { account: 'default', kind: 'seeded', actor: 'cli', outcome: 'ok', detail: null })
  const { fetching } = await agent.feeds.load()
  let childMiB = 0
  const sampling = setInterval(() => {
    childMiB = Math.max(childMiB, ...childrenMiB())
  }, 5)
  const startedAt = performance.now()
  await fetching.first('default', USER)
  await fetching.settled()
  const seconds = (performance.now() - startedAt) / 1000
  clearInterval(sampling)
  const [summary] = (await agent.owner.feedSummaries.of(['default'])).values()
  await agent.close()
  await instagram.close()
  return { seconds, childMiB, pictureBytes: summary?.bytes ?? 0, posts: summary?.postCount ?? 0 }
}

/** As a camera's: 1440 × 1800 pixels, some hundred kilobytes. */
async function drawPhoto(): Promise<Buffer> {
  const noise = (width: number, height: number, sigma: number) =>
    sharp({ create: { width, height, channels: 3, background: '#888', noise: { type: 'gaussian', mean: 128, sigma } } })
      .png()
      .toBuffer()
  const [shapes, grain] = await Promise.all([noise(24, 30, 60), noise(1440, 1800, 3)])
  return sharp(shapes)
    .resize(1440, 1800, { kernel: 'cubic' })
    .composite([{ input: grain, blend: 'soft-light' }])
    .jpeg({ quality: 80 })
    .toBuffer()
}

/** Of each process that this one has started. */
function childrenMiB(): number[] {
  const own = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim()
  return own === '' ? [] : own.split(' ').map((pid) => residentMiB(Number(pid)) || 0)
}

/** The agent with default settings but for the store, the allow-list and these. */
export function startAgent(folder: string, { countReads = false, settings = {} as Record<string, string> } = {}): Promise<Server> {
  const env = {
    HOST: '127.0.0.1',
    DATABASE_URL: `sqlite:${folder}/agent.sqlite`,
    ALLOWED_DOMAINS: 'example.com www.example.com',
    ...settings,
  }
  return start([...(countReads ? ['--import', COUNTER] : []), AGENT, 'serve'], env, folder)
}

export function startBare(answers: readonly Answer[], folder: string): Promise<Server> {
  return start([BARE], { ANSWERS: JSON.stringify(answers) }, folder)
}

async function start(args: string[], env: Record<string, string>, cwd: string): Promise<Server> {
  const port = await freePort()
  const [command = '', ...rest] = CAN_PIN ? ['taskset', '-c', '0', process.execPath, ...args] : [process.execPath, ...args]
  const startedAt = performance.now()
  const server = await launch(command, rest, { cwd, env: { HOME: cwd, PORT: String(port), ...env } })
  await firstAnswer(server, port)
  return {
    url: `http://127.0.0.1:${port}`,
    pid: server.pid,
    startMs: performance.now() - startedAt,
    stderr: server.stderr,
    stop: async () => {
      await server.end('SIGKILL')
    },
  }
}

/** Requests a token until one comes. Uses a plain socket, which costs almost nothing. */
async function firstAnswer(server: Launched, port: number): Promise<void> {
  const request = `GET /token.json HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: ${ORIGIN}\r\nConnection: close\r\n\r\n`
  for (;;) {
    if (!server.running) throw new Error(`a server ended before it answered:\n${server.stdout()}${server.stderr()}`)
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      socket.write(request)
      const [head] = (await once(socket, 'data')) as [Buffer]
      if (head.toString('latin1').startsWith('HTTP/1.1 200')) return
    } catch {
      // Not listening yet.
    } finally {
      socket.destroy()
    }
    await sleep(1)
  }
}
