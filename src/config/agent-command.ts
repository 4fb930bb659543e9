import { existsSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { detectPlatform } from './platform.ts'

/** Gives the line to type for a command of the agent, such as `seed shop`. */
export type AgentCommand = (words: string) => string

export interface Surroundings {
  readonly pid: number
  readonly hostname: string
  readonly user: string
  /** The Node that runs the agent: the machine's own may be older. */
  readonly node: string
  /** The folder of the checkout. */
  readonly folder: string
  readonly exists: (path: string) => boolean
}

const SCRIPT = 'bin/token-agent.js'
/** Where docs/deploying.md puts the variables of a plain server. */
const UNIT_VARIABLES = '/etc/token-agent.env'
/** The host name that Docker and Compose give a container is its id, by which it can be called too. */
const CONTAINER_ID = /^[0-9a-f]{12}$/

/**
 * The line that runs a command of the agent on this platform, with the agent's own variables and its own store: the only
 * form in which any page, help or message may tell a person to run one.
 */
export function agentCommand(env: NodeJS.ProcessEnv, around: Surroundings = here()): AgentCommand {
  switch (detectPlatform(env)) {
    case 'heroku':
      return (words) => `heroku run -- node ${SCRIPT} ${words}`
    case 'render':
      // Typed in the service's shell, which opens in the agent's folder: https://render.com/docs/ssh
      return (words) => `node ${SCRIPT} ${words}`
    case 'railway':
      return (words) => `railway ssh -- node ${SCRIPT} ${words}`
    case 'fly':
      // Its shell opens elsewhere: the path is the one of the Dockerfile.
      return (words) => `fly ssh console --pty --command "node /app/${SCRIPT} ${words}"`
    case 'docker': {
      const container = CONTAINER_ID.test(around.hostname) ? around.hostname : 'token-agent'
      return (words) => `docker exec --interactive --tty ${container} node ${SCRIPT} ${words}`
    }
    case 'server':
      return inUnit(env, around) ? unitCommand(around) : (words) => `npx --no -- token-agent ${words}`
  }
}

/** systemd tells a unit's first process so; what that process starts inherits the variable, but not the number. */
function inUnit(env: NodeJS.ProcessEnv, { pid, exists }: Surroundings): boolean {
  return env['SYSTEMD_EXEC_PID'] === String(pid) && exists(UNIT_VARIABLES)
}

function unitCommand({ user, folder, node }: Surroundings): AgentCommand {
  const unit = `systemd-run --quiet --pipe --wait --property=User=${user} --property=EnvironmentFile=${UNIT_VARIABLES}`
  return (words) => `${unit} --working-directory=${folder} ${node} ${SCRIPT} ${words}`
}

function here(): Surroundings {
  return {
    pid: process.pid,
    hostname: hostname(),
    user: userName(),
    node: process.execPath,
    folder: join(import.meta.dirname, '../..'),
    exists: existsSync,
  }
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run under a number that no user has.
    return 'token-agent'
  }
}
