import { chmodSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Test } from 'tap'
import { runCli } from './agent.ts'
import { startInstagram } from './instagram.ts'
import { settingsFor } from './owner.ts'
import { type Launched, launch } from './process.ts'
import { tempFolder } from './temp-folder.ts'
import { waitFor } from './wait-for.ts'

const CLI = join(import.meta.dirname, '../../src/cli/main.ts')
/** Registered at Meta for answers to a terminal. */
export const PORTS = [3764, 3765, 3766, 3767, 3768, 3769]
const PORTS_HELD = 3763

// They are the same on the whole machine, so one test file at a time uses them: the one that holds this port.
await waitFor('the ports of a terminal', () => holds(PORTS_HELD), { timeoutMs: 590_000, everyMs: 200 })

function holds(port: number): Promise<boolean> {
  const server = createServer().unref()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
  })
}

interface LoopbackAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

/** Asks as a browser that has accepted the certificate. */
export function ask(
  address: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<LoopbackAnswer> {
  const send = address.startsWith('https:') ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const asked = send(address, { method, headers, rejectUnauthorized: false, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
    })
    asked.on('error', reject).end()
  })
}

/** A folder with a browser that writes down what it opens, and the command line in it. */
export async function createDesktop(t: Test, own: Record<string, string> = {}, options = '{ isContainer: false }') {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  instagram.apps[0]?.redirectUris.push(...PORTS.map((port) => `https://localhost:${port}/`))
  const cwd = tempFolder(t, 'auth')
  const browser = join(cwd, 'xdg-open')
  writeFileSync(browser, '#!/bin/sh\nprintf %s "$1" > "$HOME/opened"\n')
  chmodSync(browser, 0o755)
  const script = join(cwd, 'main.mjs')
  writeFileSync(script, `import { main } from ${JSON.stringify(CLI)}; await main(process.argv.slice(2), process.env, ${options})`)
  const env = { HOME: cwd, PATH: `${cwd}:${process.env['PATH'] ?? ''}`, DISPLAY: ':9', ...settingsFor(instagram), ...own }
  const start = async (args: string, more: Record<string, string> = {}) => {
    const command = await launch(process.execPath, [script, ...args.split(' ')], { cwd, env: { ...env, ...more } })
    t.teardown(() => command.end('SIGKILL'))
    return command
  }
  /** At a terminal: what is written to its standard input is typed there. */
  const atTerminal = async (args: string, more: Record<string, string> = {}) => {
    const command = await launch('script', ['-qec', `'${process.execPath}' '${script}' ${args}`, '/dev/null'], {
      cwd,
      env: { ...env, ...more },
    })
    t.teardown(() => command.end('SIGKILL'))
    return command
  }
  const sql = <Row>(statement: string): Row[] => {
    const db = new DatabaseSync(join(cwd, 'data/token-agent.sqlite'), { timeout: 5_000 })
    try {
      return db.prepare(statement).all() as Row[]
    } finally {
      db.close()
    }
  }
  return { instagram, cwd, env, start, atTerminal, sql, run: (args: string, stdin = '') => runCli(t, args.split(' '), { cwd, env, stdin }) }
}

/** The address that the command prints. */
export async function printedAddress(command: Launched): Promise<string> {
  const find = () => /^ {2}(https?:\/\/\S+(?:authorize|oauth\?)\S*)\s*$/m.exec(command.stderr() + command.stdout())?.[1]
  await waitFor('the address', async () => find() !== undefined || !command.running)
  const address = find()
  if (address === undefined) throw new Error(command.stderr() + command.stdout())
  return address
}

/** Approves there; the address where the browser ends. */
export async function approved(address: string): Promise<string> {
  const { headers } = await fetch(address, { redirect: 'manual' })
  return headers.get('location') ?? 'none'
}

export const resultOf = async (command: Launched) => ({ ...(await command.exited), stdout: command.stdout(), stderr: command.stderr() })
