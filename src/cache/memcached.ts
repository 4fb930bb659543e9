import { Utils } from 'memjs'
import type { Log } from '../core/log.ts'
import type { RowCache } from '../reading/row-cache.ts'
import { gets, replaceTagged } from './memcached-cas.ts'
import { createMemcachedServer, type MemcachedAddress, type MemcachedServer, type MemcachedServerState } from './memcached-server.ts'

interface Options {
  /** `host:port,host:port` */
  readonly servers: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly deadlineMs?: number
  readonly log: Log
}

export interface MemcachedState {
  /** True where every server answers. */
  readonly up: boolean
  readonly since: Date
  readonly servers: readonly MemcachedServerState[]
}

export interface Memcached extends RowCache {
  state(): MemcachedState
}

const DEFAULT_PORT = 11211
/** Memcached's limit is 1 MB for an item with its key and header. */
const MAX_VALUE_BYTES = 1024 * 1024 - 1024

/** Each key belongs to one server. The keys of a server that is down are misses until it is back. */
export function createMemcached({ servers, username, password, deadlineMs = 50, log }: Options): Memcached {
  const nodes = parseServers(servers).map((address) => createMemcachedServer({ ...address, username, password, deadlineMs, log }))
  const nodeOf = (key: string) => nodes[Utils.hashCode(key) % nodes.length] as MemcachedServer

  return {
    async get(key) {
      const answer = await nodeOf(key).ask((client) => client.get(key))
      return answer?.value?.toString('utf8') ?? null
    },
    gets: (key) => nodeOf(key).ask((client) => gets(client, key)),
    async set(key, value, ttlSeconds) {
      if (Buffer.byteLength(value) > MAX_VALUE_BYTES) return false
      return (await nodeOf(key).ask((client) => client.set(key, value, { expires: ttlSeconds }))) === true
    },
    async cas(key, value, ttlSeconds, { tag }) {
      if (Buffer.byteLength(value) > MAX_VALUE_BYTES) return null
      return nodeOf(key).ask((client) =>
        tag === null ? client.add(key, value, { expires: ttlSeconds }) : replaceTagged(client, { key, value, ttlSeconds, tag }),
      )
    },
    state() {
      const states = nodes.map((node) => node.state())
      const up = states.every((state) => state.up)
      const changes = states.filter((state) => up || !state.up).map((state) => state.since.getTime())
      return { up, since: new Date(up ? Math.max(...changes) : Math.min(...changes)), servers: states }
    },
    close() {
      for (const node of nodes) node.close()
    },
  }
}

/** Throws where an entry is not host:port. */
export function parseServers(servers: string): MemcachedAddress[] {
  const addresses = servers.split(/[\s,]+/).filter((entry) => entry !== '')
  if (addresses.length === 0) throw new Error('The list of Memcached servers is empty: write host:port, several separated by commas.')
  return addresses.map((entry) => {
    const [, host, port] = /^(\[[0-9a-f:.]+\]|[^:[\]@/]+)(?::(\d{1,5}))?$/i.exec(entry) ?? []
    const number = Number(port ?? DEFAULT_PORT)
    if (host === undefined || number < 1 || number > 65_535) {
      throw new Error('A Memcached server is written host:port, several separated by commas; one entry is not.')
    }
    return { host: host.replace(/^\[|\]$/g, ''), port: number }
  })
}
