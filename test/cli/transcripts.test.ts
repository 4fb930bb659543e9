import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli } from '../support/agent.ts'
import { approved, ask, createDesktop, PORTS, printedAddress } from '../support/desktop.ts'
import { startFacebook } from '../support/facebook.ts'
import { startThreads } from '../support/instagram.ts'
import { facebookSettings, threadsSettings } from '../support/owner.ts'
import type { Launched } from '../support/process.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { waitFor } from '../support/wait-for.ts'

const DOCUMENT = join(import.meta.dirname, '../../docs/terminal.md')
/** Writes what the commands print into the document, in place of comparing it. */
const REWRITES = process.env['WRITE_TRANSCRIPTS'] !== undefined
const COMMAND = '$ npx --no -- token-agent'
t.jobs = 1

/** A day of the transcripts' own calendar, which is as far away. */
function dayOf(said: string): string {
  const days = (Date.parse(`${said.split(',')[0]} UTC`) - Date.now()) / 86_400_000
  return days < 2 ? '25 Nov 2026' : days < 20 ? '2 Dec 2026' : '24 Jan 2027'
}

async function createShell(t: Test) {
  const [threads, facebook, tiktok] = await Promise.all([
    startThreads(),
    startFacebook({ knobs: { pages: 2 } }),
    startTikTok({ knobs: { kind: 'desktop' } }),
  ])
  for (const one of [threads, facebook, tiktok]) t.teardown(() => one.close())
  const own = { ...threadsSettings(threads), ...facebookSettings(facebook), ...tiktokSettings(tiktok, 'http://localhost:3000') }
  const desktop = await createDesktop(t, { ...own, TIKTOK_APP_KIND: 'desktop', SERVER_KEYS: 'server-key-0123456789abcdef' })
  const registered = PORTS.map((port) => `https://localhost:${port}/`)
  threads.apps[0]?.redirectUris.push(...registered)
  facebook.redirectUris.push(...registered)
  tiktok.redirectUris.push('http://127.0.0.1:*/callback/')
  const pages = { [desktop.instagram.url]: 'https://www.instagram.com', [threads.url]: 'https://threads.com' }
  const hosts = { ...pages, [facebook.url]: 'https://www.facebook.com', [tiktok.url]: 'https://www.tiktok.com' }
  /** What a run prints, without what differs between two runs. */
  const told = (text: string): string =>
    Object.entries({ ...hosts, [desktop.cwd]: '/srv/token-agent', '\r': '' })
      .reduce((all, [from, to]) => all.replaceAll(from, to), text)
      .replace(/(authorize\S*\?client_(?:id|key)=)\S+|(https:\S+\/dialog\/oauth\?client_id=)\S+/g, '$1$2…')
      .replace(/code=[^&\s]+/g, 'code=…')
      .replace(/state=[^&\s#]+/g, 'state=…')
      .replace(/(\/\/127\.0\.0\.1:)\d+/g, '$151234')
      .replace(/\d+ \w{3} \d{4}(, [\d:]+)?/g, (said, hour) => dayOf(said) + (hour === undefined ? '' : ', 10:40'))
      .replace(/in (?:\d+ minutes|an hour|\d hours)/g, 'in 90 minutes')
      .replace(/in \d days/g, 'in 7 days')
      .trim()
  return { ...desktop, threads, facebook, tiktok, told }
}

type Shell = Awaited<ReturnType<typeof createShell>>

/** Waits for a question, then types the answer. */
async function answer(command: Launched, question: string, typed: string): Promise<void> {
  await waitFor(question, async () => command.stdout().includes(question))
  command.stdin.write(`${typed}\n`)
}

/** A run at a terminal. `goOn`: what the person does once the address is printed. */
async function recorded({ atTerminal, told }: Shell, args: string, goOn: (command: Launched, address: string) => Promise<unknown>) {
  const command = await atTerminal(args)
  const address = await printedAddress(command)
  // The last line before the wait.
  await waitFor('the wait', async () => command.stdout().includes('\n> '))
  await goOn(command, address)
  t.equal((await command.exited).code, 0, command.stdout())
  return `${COMMAND} ${args}\n${told(command.stdout())}`
}

const inBrowser = (question: string, typed: string) => async (command: Launched, address: string) => {
  const page = ask(await approved(address))
  await answer(command, question, typed)
  return page
}

const TRANSCRIPTS: Readonly<Record<string, (shell: Shell) => Promise<string>>> = {
  instagram: (shell) => recorded(shell, 'auth instagram shop', inBrowser('[y/N]', 'y')),
  threads: (shell) =>
    recorded(shell, 'auth threads --no-browser', async (command, address) => {
      command.stdin.write(`${await approved(address)}\n`)
      await answer(command, '[y/N]', 'y')
    }),
  facebook: (shell) =>
    recorded(shell, 'auth facebook', async (command, address) => {
      void inBrowser('Which one', '2')(command, address)
      await answer(command, '[y/N]', 'y')
    }),
  tiktok: (shell) => recorded(shell, 'auth tiktok', inBrowser('[y/N]', 'y')),
  'two commands': async ({ run, told }) => {
    const args = 'auth instagram second'
    const begun = await run(`${args} --start`)
    const ended = await run(`${args} --code -`, await approved(begun.stdout.trim()))
    t.equal(ended.code, 0, ended.stderr)
    const code = `${COMMAND} ${args} --code - < address.txt`
    return `${COMMAND} ${args} --start\n${told(begun.stderr)}\n${told(begun.stdout)}\n\n${code}\n${told(ended.stderr)}\n${told(ended.stdout)}`
  },
  seed: async ({ run, told, tiktok }) => {
    const { stdout, stderr } = await run('seed clips --provider tiktok --refresh-token', tiktok.issue({ userId: 'another' }).refresh)
    return `${COMMAND} seed clips --provider tiktok --refresh-token < refresh-token.txt\n${told(stderr)}\n${told(stdout)}`
  },
  token: async ({ cwd, env }) => {
    const { stdout } = await runCli(t, ['token', 'tiktok', '--header'], { cwd, env })
    t.match(stdout, /^Authorization: Bearer act\./)
    return `${COMMAND} token tiktok --header | curl -H @- https://open.tiktokapis.com/v2/user/info/?fields=open_id`
  },
  status: async ({ run, told }) => `${COMMAND} status\n${told((await run('status')).stdout).replace(/ {2,}/g, '  ')}`,
}

t.test('the transcripts of docs/terminal.md are what the commands print', async (t) => {
  const shell = await createShell(t)
  let document = readFileSync(DOCUMENT, 'utf8')
  for (const [name, record] of Object.entries(TRANSCRIPTS)) {
    const block = new RegExp(`(<!-- transcript: ${name} -->\n\`\`\`console\n)([\\s\\S]*?)(\`\`\`\n)`)
    const text = `${await record(shell)}\n`
    if (REWRITES) document = document.replace(block, (_all, before, _old, after) => `${before}${text}${after}`)
    else t.equal(block.exec(document)?.[2], text, `${name}; WRITE_TRANSCRIPTS=1 writes them`)
    t.notMatch(text, /IGAA|THAA|EAA|act\.|rft\.|a-secret-of/)
  }
  if (REWRITES) writeFileSync(DOCUMENT, document)
})
