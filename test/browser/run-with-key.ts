import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface Ended {
  readonly code: number
  readonly output: string
}

/** Runs a program of a build that has this server key. */
export async function runWithKey(command: string, args: string[], { key, cwd }: { key: string; cwd?: string }): Promise<Ended> {
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', TOKEN_AGENT_KEY: key, HUGO_TOKEN_AGENT_KEY: key }
  const child = spawn(command, args, { env, ...(cwd === undefined ? {} : { cwd }) })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk
    })
  const [code] = await once(child, 'close')
  return { code, output }
}

export const inNode = (module: string, key: string): Promise<Ended> =>
  runWithKey(process.execPath, ['--input-type=module', '--eval', module], { key })
