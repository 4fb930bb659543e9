import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { networkInterfaces, userInfo } from 'node:os'

/** Where the command runs, as far as it decides how a person can approve. */
export interface Surroundings {
  readonly isInteractive: boolean
  readonly isContainer: boolean
  /** The line that forwards a port to this machine; null = not over SSH. */
  readonly sshLine: ((port: string) => string) | null
  /** Null = no browser can be opened here. */
  readonly browser: readonly string[] | null
}

const CONTAINER_FILES = ['/.dockerenv', '/run/.containerenv']

export function surroundingsIn(env: NodeJS.ProcessEnv, isContainer = isInContainer(env)): Surroundings {
  // “client port server port”
  const server = env['SSH_CONNECTION']?.split(' ')[2]
  const hasNoScreen = env['CI'] !== undefined || isContainer || server !== undefined
  return {
    isInteractive: process.stdin.isTTY === true,
    isContainer,
    sshLine: server === undefined ? null : (port) => `ssh -L ${port}:localhost:${port} ${userName(env)}@${server}`,
    browser: hasNoScreen ? null : browserOf(process.platform, env),
  }
}

function isInContainer(env: NodeJS.ProcessEnv): boolean {
  return env['AGENT_PLATFORM'] === 'docker' || CONTAINER_FILES.some((file) => existsSync(file))
}

function browserOf(platform: NodeJS.Platform, env: NodeJS.ProcessEnv): readonly string[] | null {
  if (platform === 'darwin') return ['open']
  if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler']
  return env['DISPLAY'] || env['WAYLAND_DISPLAY'] ? ['xdg-open'] : null
}

/** The addresses at which other machines reach this one. */
export function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all = []) => all.flatMap(({ address, internal }) => (internal ? [] : [address])))
}

/** Resolves with false where the browser does not start. A system without one is no failure of the command. */
export async function openBrowser([program = '', ...args]: readonly string[], url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const browser = spawn(program, [...args, url], { stdio: 'ignore', detached: true })
    browser.once('error', () => resolve(false))
    browser.once('spawn', () => {
      browser.unref()
      resolve(true)
    })
  })
}

function userName(env: NodeJS.ProcessEnv): string {
  try {
    return userInfo().username
  } catch {
    return env['USER'] ?? 'you'
  }
}
