import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { absentOf, SERVICES, type Service } from './services.ts'

// A package with a daemon starts it on installation; Debian's policy-rc.d prevents that.
const INSTALL = `
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > $policy
  chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "$@"
`

/** Installs missing packages of the tests if no password is needed, after naming each with its purpose. Returns those still missing. */
export function installMissing(): Service[] {
  const services = Object.keys(SERVICES) as Service[]
  const wanted = absentOf(services)
  if (wanted.length === 0) return []
  const packages = wanted.map((service) => SERVICES[service].debianPackage)
  const asRoot = rootCommand()
  if (asRoot !== null && existsSync('/usr/bin/apt-get')) {
    console.error(`${whatFor(wanted)}\ninstalling ${packages.join(' ')} with apt-get; npm run test:fast needs none of them`)
    const [command = 'sh', ...args] = [...asRoot, 'sh', '-c', INSTALL, 'install', ...packages]
    const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 600_000 })
    if (status !== 0) console.error(`${stdout}${stderr}`)
  }
  return absentOf(wanted)
}

/** One line for each package, with its purpose. */
export function whatFor(services: Service[]): string {
  const lines = services.map((service) => `  ${SERVICES[service].debianPackage}: ${SERVICES[service].usedFor}`)
  return `The tests run on real servers and browsers, and this machine lacks:\n${lines.join('\n')}`
}

/** The prefix of a command to run it as root; null if that needs a password. */
function rootCommand(): string[] | null {
  if (process.getuid?.() === 0) return []
  try {
    execFileSync('sudo', ['-n', 'true'], { stdio: 'ignore' })
    return ['sudo', '-n']
  } catch {
    return null
  }
}
