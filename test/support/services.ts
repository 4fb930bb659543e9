import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export type Service =
  | 'postgres'
  | 'memcached'
  | 'sasl'
  | 'chromium'
  | 'firefox'
  | 'webkit'
  | 'xvfb'
  | 'nginx'
  | 'caddy'
  | 'openssl'
  | 'keyring'
  | 'dbus'
  | 'hugo'

/** Each service's Debian package and programs; Ubuntu's browsers have other names. */
export const SERVICES: Record<Service, { debianPackage: string; usedFor: string; programs: string[] }> = {
  postgres: { debianPackage: 'postgresql', usedFor: 'the store, in most tests', programs: ['initdb'] },
  memcached: { debianPackage: 'memcached', usedFor: 'the cache between instances', programs: ['memcached'] },
  sasl: { debianPackage: 'sasl2-bin', usedFor: 'Memcached that asks for a password', programs: ['saslpasswd2'] },
  chromium: {
    debianPackage: 'chromium',
    usedFor: 'the pages and the code for web sites',
    programs: ['chromium', 'chromium-browser', 'google-chrome'],
  },
  firefox: { debianPackage: 'firefox-esr', usedFor: 'the same, in a second browser', programs: ['firefox-esr', 'firefox'] },
  webkit: { debianPackage: 'webkit2gtk-driver', usedFor: 'the same, in Safari’s engine', programs: ['WebKitWebDriver'] },
  xvfb: { debianPackage: 'xvfb', usedFor: 'a screen for WebKit', programs: ['Xvfb'] },
  nginx: { debianPackage: 'nginx-light', usedFor: 'caches between the agent and its readers', programs: ['nginx'] },
  caddy: { debianPackage: 'caddy', usedFor: 'the web server of docs/deploying.md', programs: ['caddy'] },
  keyring: { debianPackage: 'gnome-keyring', usedFor: 'a keychain for the key of the embedded store', programs: ['gnome-keyring-daemon'] },
  hugo: { debianPackage: 'hugo', usedFor: 'the code for a site that is built', programs: ['hugo'] },
  dbus: { debianPackage: 'dbus', usedFor: 'the way to that keychain', programs: ['dbus-daemon'] },
  openssl: { debianPackage: 'openssl', usedFor: 'certificates of the web sites in the tests', programs: ['openssl'] },
}

/** For a test's skip option: the missing services, or false. In CI the test fails instead. */
export function missing(...services: Service[]): string | false {
  const absent = absentOf(services)
  return absent.length === 0 || process.env['CI'] === 'true' ? false : howToInstall(absent)
}

export function absentOf(services: Service[]): Service[] {
  return services.filter((service) => find(SERVICES[service].programs) === undefined)
}

export function howToInstall(services: Service[]): string {
  return `${services.join(', ')} missing: apt-get install ${services.map((service) => SERVICES[service].debianPackage).join(' ')}`
}

/** The path of a service's program. */
export function binary(service: Service, programs = SERVICES[service].programs): string {
  const path = find(programs)
  if (path === undefined) throw new Error(`${programs[0]} is missing: install ${SERVICES[service].debianPackage}`)
  return path
}

function find(programs: string[]): string | undefined {
  return programs
    .flatMap((program) => folders().map((folder) => join(folder, program)))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

// Debian keeps PostgreSQL's programs out of PATH, and daemons in sbin, which is often not in PATH.
function folders(): string[] {
  const versions = '/usr/lib/postgresql'
  const postgres = existsSync(versions) ? readdirSync(versions).sort((a, b) => Number(b) - Number(a)) : []
  return [
    ...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean),
    '/usr/sbin',
    '/usr/local/sbin',
    ...postgres.map((version) => join(versions, version, 'bin')),
  ]
}
