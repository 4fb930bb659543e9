import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Secret } from '../core/secret.ts'
import { readTlsMode } from '../core/tls-mode.ts'
import type { Notes } from './environment.ts'

export type DatabaseConfig =
  | { readonly kind: 'postgres'; readonly url: Secret; readonly selfSignedChain: boolean }
  /** `mayBeWiped`: only the owner knows whether a permanent volume is mounted at the path. */
  | { readonly kind: 'sqlite'; readonly path: string; readonly mayBeWiped?: boolean }

/** Each keeps its variables in another place. */
export type Platform = 'heroku' | 'render' | 'railway' | 'fly' | 'docker' | 'server'

const SIGNS: readonly (readonly [variable: string, platform: Platform])[] = [
  ['DYNO', 'heroku'],
  ['RENDER', 'render'],
  ['RAILWAY_ENVIRONMENT', 'railway'],
  ['FLY_APP_NAME', 'fly'],
]

/**
 * The platform of this environment. `docker` means our own image, whose Dockerfile sets AGENT_PLATFORM; an agent may also
 * run from a checkout in another container.
 */
export function detectPlatform(env: NodeJS.ProcessEnv): Platform {
  const sign = SIGNS.find(([variable]) => env[variable])
  return sign?.[1] ?? (env['AGENT_PLATFORM'] === 'docker' ? 'docker' : 'server')
}

/** The agent's address from the hosting platform's variables; null = they do not name it. */
export function guessAppUrl(env: NodeJS.ProcessEnv, appName: string | null, problems: string[]): string | null {
  if (appName !== null && !/^[a-z][a-z0-9-]*$/i.test(appName)) {
    problems.push('APP_NAME: must be the app’s name on Heroku: letters, digits and hyphens')
    return null
  }
  const host =
    env['HEROKU_APP_DEFAULT_DOMAIN_NAME'] ||
    (env['FLY_APP_NAME'] && `${env['FLY_APP_NAME']}.fly.dev`) ||
    env['RAILWAY_PUBLIC_DOMAIN'] ||
    (appName !== null && `${appName.toLowerCase()}.herokuapp.com`)
  const guess = env['RENDER_EXTERNAL_URL'] || (host ? `https://${host}` : null)
  return guess === null ? null : (URL.parse(guess)?.origin ?? null)
}

const DESKTOP =
  /^(?:HOME|PATH|USER|LOGNAME|LANG|DISPLAY|WAYLAND_DISPLAY|DBUS_SESSION_BUS_ADDRESS|XDG_\w+|SystemRoot|USERPROFILE|APPDATA|LOCALAPPDATA|TEMP)$/i

/** The variables by which a program reaches the desktop session and its keychain. None of them is a secret. */
export function desktopOf(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => DESKTOP.test(name)))
}

/** Where the store is, without credentials. `exists`: always true for a server, which answers for itself. */
export function placeOf(database: DatabaseConfig): { readonly place: string; readonly exists: boolean } {
  if (database.kind === 'sqlite') return { place: resolve(database.path), exists: existsSync(database.path) }
  const { host, pathname } = new URL(database.url.reveal())
  return { place: `Postgres, ${host || 'on this machine'}${pathname === '/' ? '' : pathname}`, exists: true }
}

/** Reads DATABASE_URL. A path on a disk that the platform wipes is a problem. `mounts`: /proc/self/mountinfo. */
export function readDatabase(env: NodeJS.ProcessEnv, url: string | null, { problems, warn }: Notes, mounts = readMounts()): DatabaseConfig {
  const path = url === null ? 'data/token-agent.sqlite' : url.replace(/^sqlite:(\/\/(?=\/))?/, '')
  if (url !== null && /^postgres(ql)?:\/\//.test(url)) {
    if (!URL.canParse(url))
      problems.push('DATABASE_URL: is not a complete address; it looks like postgres://user:password@host:5432/database')
    const { problem } = readTlsMode(new URLSearchParams(url.split(/\?(.*)/s)[1]), env['DYNO'] !== undefined)
    if (problem !== null) problems.push(`DATABASE_URL: ${problem}`)
    // Heroku's Postgres needs TLS and has a self-signed chain: https://devcenter.heroku.com/articles/connecting-heroku-postgres
    return { kind: 'postgres', url: new Secret(url), selfSignedChain: env['DYNO'] !== undefined }
  }
  if (url !== null && !url.startsWith('sqlite:')) {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]
    problems.push(
      `DATABASE_URL: ${scheme === undefined ? 'has no scheme' : `the scheme “${scheme}:” is not supported here`}; use postgres://user:password@host:5432/database or sqlite:path/to/file`,
    )
  } else if (path === '' || path.startsWith(':')) {
    problems.push(
      `DATABASE_URL: ${path === '' ? 'names no file' : 'a store in memory forgets every token at each restart'}; name a file, such as sqlite:data/token-agent.sqlite`,
    )
  } else if (wipesItsDisk(env) && path.startsWith('/')) {
    // Dokku and Knative set the same variables but have volumes.
    if (hasNoVolume(env)) {
      warn(
        `DATABASE_URL: names a file, and this platform usually wipes its disk at each restart; the tokens live on only where a permanent volume is mounted at that path`,
      )
      return { kind: 'sqlite', path, mayBeWiped: true }
    }
  } else if (wipesItsDisk(env)) {
    problems.push(
      'DATABASE_URL: this platform wipes its disk at each restart, and after 60 days the starting token has expired; add a Postgres database (on Heroku: heroku addons:create heroku-postgresql), or name a file on a permanent volume: sqlite:/absolute/path',
    )
  } else if (isInContainerLayer(path, mounts)) {
    warn(
      `DATABASE_URL: the store lies inside this container and is lost with it; mount a volume at ${dirname(resolve(path))}, or name a Postgres database`,
    )
  }
  return { kind: 'sqlite', path }
}

/** Empty where the system is not Linux. */
function readMounts(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8')
  } catch {
    return ''
  }
}

/**
 * True where no volume is mounted above the path, and the root is the layer of a container, which ends with it.
 * The fields: https://www.kernel.org/doc/html/latest/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts
 */
function isInContainerLayer(path: string, mounts: string): boolean {
  const full = resolve(path)
  let [nearest, type] = ['', '']
  for (const line of mounts.split('\n')) {
    const [, point = '', fileSystem = ''] = /^\d+ \d+ \S+ \S+ (\S+) .* - (\S+) /.exec(line) ?? []
    const isAbove = full === point || full.startsWith(point.endsWith('/') ? point : `${point}/`)
    // Of two mounts at one place the later one counts.
    if (point !== '' && isAbove && point.length >= nearest.length) [nearest, type] = [point, fileSystem]
  }
  return nearest === '/' && type === 'overlay'
}

// Heroku, Cloud Run and Lambda have no permanent disk. Render, Railway and Fly have volumes, mounted at an absolute path that
// their owner chooses. A relative path is always on the disk that is wiped.
const hasNoVolume = (env: NodeJS.ProcessEnv): boolean => ['DYNO', 'K_SERVICE', 'AWS_LAMBDA_FUNCTION_NAME'].some((name) => env[name])
const wipesItsDisk = (env: NodeJS.ProcessEnv): boolean =>
  hasNoVolume(env) || ['RENDER', 'RAILWAY_ENVIRONMENT', 'FLY_APP_NAME'].some((name) => env[name])
