import { isIP } from 'node:net'
import { AppError } from '../core/errors.ts'
import type { ProviderEnvironment } from '../core/provider.ts'
import { isForbiddenAddress } from '../core/public-address.ts'
import { printable } from '../core/quotes.ts'
import { Secret } from '../core/secret.ts'

const DEFAULT_PORT = 3000
const RANGES = ['loopback', 'linklocal', 'uniquelocal']
const WHERE = 'write 0.0.0.0 to be reached from outside, or 127.0.0.1 for this machine alone'

export function readPort(text: string | null, problems: string[]): number {
  const port = Number(text ?? DEFAULT_PORT)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  problems.push('PORT: must be a whole number from 0 to 65535')
  return DEFAULT_PORT
}

export function readHost(text: string | null, problems: string[]): string {
  const host = text ?? '0.0.0.0'
  if (isIP(host) === 0 && !/^[a-z0-9._-]+$/i.test(host))
    problems.push(`HOST: “${printable(host)}” is neither an address nor a name; ${WHERE}`)
  return host
}

export function readTrustProxy(entries: readonly string[], problems: string[]): boolean | string[] {
  if (entries.length === 0 || (entries.length === 1 && entries[0] === 'false')) return false
  if (entries.length === 1 && entries[0] === 'true') return true
  for (const entry of entries) {
    const [address = '', bits, ...rest] = entry.split('/')
    const family = isIP(address)
    // Fastify ≥ 5.12.1 ignores a number of hops, so it must not look as if it worked.
    if ((family === 0 && !RANGES.includes(entry.toLowerCase())) || address.includes('%') || rest.length > 0) {
      problems.push(`TRUST_PROXY: “${printable(entry)}” is not true, false or a list of proxy addresses such as 10.0.0.0/8`)
      continue
    }
    const most = family === 6 ? 128 : 32
    if (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= most))
      problems.push(`TRUST_PROXY: “${printable(entry)}” has a range that does not exist; write 1 to ${most} after the slash`)
  }
  return entries.map((entry) => entry.toLowerCase())
}

/** The fault of the address for alerts; null = none. A name is looked at again, with its addresses, each time something is sent. */
export function alertUrlProblem(url: string): string | null {
  const target = URL.parse(url)
  // Plain http would show the alert, and the secret in such addresses, to everybody on the way.
  if (target?.protocol !== 'https:')
    return 'must be an https:// address, such as the one that Slack or Discord gives for an incoming webhook'
  const host = target.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  if (isIP(host) === 0 ? !/(^|\.)(localhost|local|internal)$/.test(host) : !isForbiddenAddress(host)) return null
  return 'leads to a host that is not on the public Internet, where nothing is sent; use an address such as the one that Slack or Discord gives for an incoming webhook'
}

/** The error of `listen` in words, where HOST or PORT is to blame. */
export function explainListen(error: unknown, { host, port }: { host: string; port: number }): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new AppError('invalid', `PORT: ${port} is in use on this machine; stop the program that has it, or choose another port.`)
    case 'EACCES':
      return new AppError('invalid', `PORT: ${port} is only for the administrator of this machine; choose one from 1024 up, such as 3000.`)
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new AppError('invalid', `HOST: “${printable(host)}” is a name that cannot be found; ${WHERE}.`)
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'EINVAL':
      return new AppError('invalid', `HOST: “${printable(host)}” is no address of this machine; ${WHERE}.`)
    default:
      return error
  }
}

export interface MemcachedConfig {
  /** `host:port`, separated by commas. */
  readonly servers: string
  readonly username: string | null
  readonly password: Secret | null
}

/** Null = there is no cache. */
export function readMemcached({ text, list }: Pick<ProviderEnvironment, 'text' | 'list'>, problems: string[]): MemcachedConfig | null {
  const servers = text('MEMCACHIER_SERVERS')
  const username = text('MEMCACHIER_USERNAME')
  const password = text('MEMCACHIER_PASSWORD')
  if (servers !== null && !list('MEMCACHIER_SERVERS').every(isServer)) {
    problems.push('MEMCACHIER_SERVERS: must be host:port, several separated by commas, such as mc1.example.com:11211')
  }
  if ((username === null) !== (password === null)) {
    problems.push(
      `MEMCACHIER_${username === null ? 'USERNAME' : 'PASSWORD'}: is missing; give both MEMCACHIER_USERNAME and MEMCACHIER_PASSWORD, or neither`,
    )
  }
  if (servers === null) return null
  return { servers: list('MEMCACHIER_SERVERS').join(','), username, password: password === null ? null : new Secret(password) }
}

function isServer(server: string): boolean {
  const port = Number(/^(?:[a-z0-9._-]+|\[[0-9a-f:]+\]):(\d{1,5})$/i.exec(server)?.[1])
  return port > 0 && port <= 65_535
}
