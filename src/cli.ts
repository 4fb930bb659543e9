import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { importRubyToken } from './application/import-ruby-token.ts'
import { pasteToken } from './application/manage-accounts.ts'
import type { OwnerDeps } from './application/owner-deps.ts'
import { reportStatus, type StatusReport } from './application/report-status.ts'
import { rotateKeys } from './application/rotate-keys.ts'
import type { SeedResult } from './application/seed-account.ts'
import { ACCOUNTS_HELP, accountsCommand } from './cli-accounts.ts'
import { readConfig } from './config.ts'
import { ACCOUNT_NAME_RULE, DEFAULT_ACCOUNT, isAccountName } from './domain/account.ts'
import { AppError } from './domain/errors.ts'
import { Secret } from './domain/secret.ts'
import { createLogger } from './logger.ts'
import { ownerDeps } from './owner.ts'
import { createServices, type Services } from './services.ts'
import { NO_ACCOUNT, print, UsageError, when } from './terminal.ts'

const HELP = `token-agent keeps social-media access tokens alive and serves them to your web sites.

Usage: token-agent <command>

  serve                        run the agent: web server and timer
  migrate                      bring the database up to date
  seed [account]               take over a long-lived token, read from standard input
  refresh [account] [--force]  refresh what is due; --force refreshes even what is not
  import [--force]             take over the token of the older Ruby agent, from its own database
  status [--json]              show every account
  rotate-keys                  seal every token again, with the newest key of ENCRYPTION_KEY
${ACCOUNTS_HELP}
Settings come from environment variables; the README lists them.
Exit codes: 0 all is well, 1 something failed or an account needs a person, 2 the command was not understood.
`

const TAKES = new Map<string, readonly string[]>([
  ['serve', []],
  ['migrate', []],
  ['seed', ['account']],
  ['refresh', ['account', 'force']],
  ['import', ['force']],
  ['status', ['json']],
  ['rotate-keys', []],
])

/** Runs one command; sets the exit code rather than exiting, so that output is written out. */
export async function main(args: string[] = process.argv.slice(2), env: NodeJS.ProcessEnv = process.env): Promise<void> {
  try {
    process.exitCode = await run(args, env)
  } catch (error) {
    const usage = error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
    process.stderr.write(`${describe(error)}\n${usage ? '\nSee: npx token-agent --help\n' : ''}`)
    process.exitCode = usage ? 2 : 1
  }
}

async function run(args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  if (args[0] === 'accounts' && !args.includes('--help') && args[1] !== 'help') {
    const command = accountsCommand(args.slice(1))
    return withServices(env, async (services, owner) => {
      await services.migrate()
      return command(owner)
    })
  }
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
      force: { type: 'boolean' },
      json: { type: 'boolean' },
    },
  })
  if (values.version) return print(JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version)
  const [command, account, ...rest] = positionals
  // `accounts` comes this far only where it was asked for its help.
  const wantsHelp = values.help || command === 'help' || command === 'accounts'
  if (wantsHelp || command === undefined) {
    process.stdout.write(HELP)
    return wantsHelp ? 0 : 2
  }
  const takes = TAKES.get(command)
  if (takes === undefined) throw new UsageError(`There is no command “${command}”.`)
  for (const given of [...Object.keys(values), ...(account === undefined ? [] : ['account'])]) {
    if (!takes.includes(given)) throw new UsageError(`${command} takes no ${given === 'account' ? `“${account}”` : `--${given}`}.`)
  }
  if (rest.length > 0) throw new UsageError(`${command} takes no “${rest[0]}”.`)
  if (account !== undefined && !isAccountName(account)) {
    // Not repeated: whoever types `seed IGAA…` would find the token in the terminal's record.
    const token = command === 'seed' ? ' The token itself goes to standard input: npx token-agent seed < token.txt' : ''
    throw new UsageError(`That is not an account’s name. ${ACCOUNT_NAME_RULE}${token}`)
  }

  if (command === 'serve') {
    const { serve } = await import('./server.ts')
    await serve(env)
    return 0
  }
  return withServices(env, async (services, owner) => {
    const applied = await services.migrate()
    switch (command) {
      case 'migrate':
        return print(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}. The database is up to date.`)
      case 'seed':
        return seed(owner, account ?? DEFAULT_ACCOUNT)
      case 'refresh':
        return refresh(services, account, values.force === true)
      case 'import':
        return importRuby(services, values.force === true)
      case 'status':
        return status(services, values.json === true)
      default:
        return rotate(services)
    }
  })
}

async function withServices(env: NodeJS.ProcessEnv, work: (services: Services, owner: OwnerDeps) => Promise<number>): Promise<number> {
  const config = readConfig(env)
  // A command prints its own answer; what the parts log is for the server's log.
  const services = await createServices(config, createLogger('silent'))
  try {
    return await work(services, ownerDeps(config, services))
  } finally {
    await services.close()
  }
}

async function importRuby({ refreshDeps, readRubyToken: read, startingFingerprint }: Services, force: boolean): Promise<number> {
  if (read === null)
    throw new AppError('invalid', 'The older Ruby agent kept its token in Postgres; set DATABASE_URL to the address of its database.')
  const { found, seed } = await importRubyToken(refreshDeps, { read, force, fingerprint: startingFingerprint })
  print(`The old app has a token${found.expiresAt === null ? '' : `, good until ${when(found.expiresAt)}`}.`)
  return printSeed(
    DEFAULT_ACCOUNT,
    seed,
    'The old table was left as it is. When all is well, drop it: in it the token stands in the clear.',
  )
}

async function seed(owner: OwnerDeps, account: string): Promise<number> {
  if (process.stdin.isTTY) process.stderr.write('Paste the token and press Enter, then Ctrl-D:\n')
  let text = ''
  for await (const chunk of process.stdin) {
    text += chunk
    if (text.length > 100_000) throw new AppError('invalid', 'This is far too long for a token; paste the token alone.')
  }
  const token = new Secret(text.trim())
  return printSeed(account, await pasteToken(owner, { account, provider: 'instagram', token, actor: 'cli', otherUser: true }))
}

function printSeed(account: string, taken: SeedResult, advice = ''): number {
  if (taken.outcome !== 'taken') return print(`${taken.message}\nThe token was not taken; the one that works stays.`, 1)
  if (taken.result?.outcome === 'failed') return print(`The token is stored, but: ${taken.message}`, 1)
  return print(`The token is stored as “${account}”. ${taken.message}${advice && `\n${advice}`}`)
}

async function refresh(services: Services, account: string | undefined, force: boolean): Promise<number> {
  const { results, failed } = await services.sweep({ actor: 'cli', force, ...(account === undefined ? {} : { account }) })
  for (const { account: name, outcome, message } of results) print(`${name}: ${outcome}. ${message}`)
  const report = await reportStatus(services)
  if (results.length === 0) {
    const next = report.accounts.filter((one) => account === undefined || one.account === account)
    if (next.length === 0) print(NO_ACCOUNT)
    for (const { account: name, nextRefreshAt } of next) {
      const idle = report.idle.get(name)
      if (idle !== undefined) print(`${name}: ${idle}, so there is nothing to refresh.`)
      else print(`${name}: ${force ? 'another process is refreshing it at the moment' : `not due until ${when(nextRefreshAt)}`}.`)
    }
  }
  return failed > 0 || needsPerson(report, account) ? 1 : 0
}

async function status(services: Services, json: boolean): Promise<number> {
  const report = await reportStatus(services)
  if (json) print(JSON.stringify(report.accounts, null, 2))
  else if (report.accounts.length === 0) print(NO_ACCOUNT)
  for (const one of json ? [] : report.accounts) {
    print(`${one.account}  ${one.provider}${one.username === null ? '' : ` @${one.username}`}`)
    const idle = report.idle.get(one.account)
    const notes = [...(idle === undefined ? [] : [idle]), ...(report.needPerson.includes(one.account) ? ['needs a person'] : [])]
    print(`  state         ${one.state}${notes.length === 0 ? '' : ` (${notes.join(', ')})`}`)
    print(`  good until    ${when(one.expiresAt)}`)
    print(`  last refresh  ${when(one.lastRefreshAt)}`)
    print(`  next refresh  ${when(one.nextRefreshAt)}`)
    if (one.lastError !== null) print(`  last error    ${one.lastError}`)
  }
  return needsPerson(report, undefined) ? 1 : 0
}

async function rotate(services: Services): Promise<number> {
  const { resealed, current, unreadable } = await rotateKeys(services.store, services.vault)
  print(`${resealed.length} accounts sealed again, ${current.length} had the newest key already.`)
  for (const name of unreadable)
    print(`${name}: no key in ENCRYPTION_KEY opens it, so it was left as it is; add the key that sealed it, after the newest one.`)
  return unreadable.length > 0 ? 1 : 0
}

function needsPerson({ needPerson }: StatusReport, account: string | undefined): boolean {
  return account === undefined ? needPerson.length > 0 : needPerson.includes(account)
}

function describe(error: unknown): string {
  // What parseArgs goes on to say is of no use here: “To specify a positional argument starting with a '-' …”.
  return error instanceof Error ? error.message.replace(/ To specify a positional argument.*/s, '') : String(error)
}

if (import.meta.main) await main()
