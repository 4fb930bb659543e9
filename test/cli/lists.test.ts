import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ENCRYPTION_KEY, inDays, type Kept, keepAccounts } from '../support/accounts.ts'
import { runCli } from '../support/agent.ts'
import { launch } from '../support/process.ts'
import { tempFolder } from '../support/temp-folder.ts'

const CLI = join(import.meta.dirname, '../../src/cli/main.ts')
const REFUSED = { state: 'reconnect', lastErrorCode: 'reconnect', lastError: 'Instagram refuses the token.', failureCount: 2 } as const
const SICK: readonly Kept[] = [
  { name: 'm-refused', ...REFUSED },
  { name: 'z-expired', expiresAt: inDays(-1), nextRefreshAt: null },
  { name: 'k-failing', failureCount: 9, expiresAt: inDays(5), lastError: 'Instagram does not answer.', lastErrorCode: 'transient' },
  { name: 'b-empty', token: null, state: 'unverified', username: null, expiresAt: null, nextRefreshAt: null, providerUserId: null },
]
const MILD: readonly Kept[] = [
  { name: 'c-once', failureCount: 1, lastError: 'Instagram does not answer.', lastErrorCode: 'transient' },
  { name: 'd-paused', pausedAt: inDays(-1), ...REFUSED },
]

const ESCAPE = '\u001b'

/** Fifty accounts with four that need attention. */
async function createFifty(t: Test) {
  const cwd = tempFolder(t, 'fifty')
  const healthy = Array.from({ length: 44 }, (_, at) => ({ name: `shop-${String(at).padStart(2, '0')}` }))
  await keepAccounts(cwd, [...healthy, ...MILD, ...SICK])
  const env = { ENCRYPTION_KEY }
  return { cwd, env, run: (...args: string[]) => runCli(t, args, { cwd, env }) }
}

const linesOf = ({ stdout }: { stdout: string }): string[] => stdout.trimEnd().split('\n')

t.test('fifty accounts are fifty lines, those that need a person first', async (t) => {
  const { run } = await createFifty(t)
  for (const words of [['status'], ['accounts', 'list']]) {
    const all = await run(...words)
    t.equal(all.code, words[0] === 'status' ? 1 : 0)
    const lines = linesOf(all)
    t.equal(lines.length, 50)
    t.same(
      lines.slice(0, 8).map((line) => line.trim().split(/ {2,}/).slice(0, 2)),
      [
        ['needs you', 'z-expired'],
        ['needs you', 'm-refused'],
        ['trying again', 'k-failing'],
        ['empty', 'b-empty'],
        ['trying again', 'c-once'],
        ['paused', 'd-paused'],
        ['working', words[0] === 'status' ? 'shop-00' : 'shop-00*'],
        ['working', 'shop-01'],
      ],
    )
    t.notOk(all.stdout.includes(ESCAPE))
    t.notMatch(all.stdout, /IGAA/)
    t.equal(new Set(lines.map((line) => line.indexOf('instagram'))).size, 1, 'the columns stand below each other')
    const only = await run(...words, '--attention')
    t.same(
      linesOf(only).map((line) => line.split(/ {2,}/)[1]),
      ['z-expired', 'm-refused', 'k-failing', 'b-empty'],
    )
  }
  t.match(linesOf(await run('status'))[0], /ended \d+ [A-Z]\w+ \d{4}/)
})

t.test('JSON lists the same accounts by name, with what scripts ask for', async (t) => {
  const { run } = await createFifty(t)
  const only = await run('status', '--json', '--attention')
  t.equal(only.code, 1)
  t.match(JSON.parse(only.stdout), [
    { account: 'b-empty', condition: 'empty', needsPerson: false },
    { account: 'k-failing', condition: 'working', needsPerson: false, failureCount: 9 },
    { account: 'm-refused', condition: 'needs_person', needsPerson: true, failureCount: 2 },
    { account: 'z-expired', condition: 'needs_person', needsPerson: true },
  ])
  const listed = JSON.parse((await run('accounts', 'list', '--json', '--attention')).stdout)
  t.same(
    listed.map((one: { name: string }) => one.name),
    ['b-empty', 'k-failing', 'm-refused', 'z-expired'],
  )
  t.equal(listed[2].condition, 'needs you')
  for (const name of ['next', 'remedy', 'error', 'needsAttention']) t.notOk(name in listed[0], name)
})

t.test('a terminal gets colours, unless NO_COLOR is set', async (t) => {
  const { cwd, env } = await createFifty(t)
  const shown = async (more: Record<string, string>) => {
    const command = `'${process.execPath}' '${CLI}' status --attention`
    const terminal = await launch('script', ['-qec', command, '/dev/null'], {
      cwd,
      env: { ...env, HOME: cwd, TERM: 'xterm-256color', ...more },
    })
    t.teardown(() => terminal.end('SIGKILL'))
    terminal.stdin.end()
    t.equal((await terminal.exited).code, 1)
    return terminal.stdout()
  }
  t.ok((await shown({})).includes(`${ESCAPE}[31mneeds you${ESCAPE}[39m     z-expired`))
  t.notOk((await shown({ NO_COLOR: '1' })).includes(ESCAPE))
})

t.test('one empty account is no failure, and without accounts the list says what to do', async (t) => {
  const cwd = tempFolder(t, 'empty')
  await keepAccounts(
    cwd,
    SICK.filter(({ name }) => name === 'b-empty'),
  )
  const run = (...args: string[]) => runCli(t, args, { cwd, env: { ENCRYPTION_KEY } })
  t.match(await run('status'), { code: 0, stdout: /^empty {2}b-empty {2}instagram {2}It waits for its first token: \S.* seed b-empty\n$/ })
  t.match(await run('accounts', 'remove', 'b-empty'), { code: 0 })
  for (const words of [['status'], ['accounts', 'list', '--attention']]) t.match(await run(...words), { code: 0, stdout: /no account yet/ })
})
