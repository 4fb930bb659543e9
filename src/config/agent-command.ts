import { existsSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { detectPlatform } from './platform.ts'

/** Returns the shell line that runs a command of the agent, such as `seed shop`. */
export type AgentCommand = (words: string) => string

export interface Surroundings {
  readonly pid: number
  readonly hostname: string
  readonly user: string
  /** The path of the Node that runs the agent; the one in PATH may be older. */
  readonly node: string
  /** The folder of the checkout. */
  readonly folder: string
  readonly exists: (path: string) => boolean
}

const SCRIPT = 'bin/token-agent.js'
/** The variables' file on a plain server, as in docs/deploying.md. */
const UNIT_VARIABLES = '/etc/token-agent.env'
/** Docker and Compose use the container's id as its host name, and `docker exec` takes the id. */
const CONTAINER_ID = /^[0-9a-f]{12}$/

/**
 * The shell line on this platform, with the agent's own variables and store. Pages, help and messages show commands only
 * in this form.
 */
export function agentCommand(env: NodeJS.ProcessEnv, around: Surroundings = here()): AgentCommand {
  switch (detectPlatform(env)) {
    case 'heroku':
      return (words) => `heroku run -- node ${SCRIPT} ${words}`
    case 'render':
      // Render's shell opens in the agent's folder: https://render.com/docs/ssh
      return (words) => `node ${SCRIPT} ${words}`
    case 'railway':
      return (words) => `railway ssh -- node ${SCRIPT} ${words}`
    case 'fly':
      // Fly's shell opens elsewhere, so the path is the Dockerfile's.
      return (words) => `fly ssh console --pty --command "node /app/${SCRIPT} ${words}"`
    case 'docker': {
      const container = CONTAINER_ID.test(around.hostname) ? around.hostname : 'token-agent'
      return (words) => `docker exec --interactive --tty ${container} node ${SCRIPT} ${words}`
    }
    case 'server':
      return inUnit(env, around) ? unitCommand(around) : (words) => `npx --no -- token-agent ${words}`
  }
}

/** systemd sets SYSTEMD_EXEC_PID to the id of a unit's first process. A child inherits the variable but has another id. */
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
    // A container may run under a user id without a name.
    return 'token-agent'
  }
}
