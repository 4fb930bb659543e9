import { setTimeout as sleep } from 'node:timers/promises'
import { findAccount } from '../accounts/manage.ts'
import type { Agent } from '../agent.ts'
import type { AgentCommand } from '../config/agent-command.ts'
import { type Account, hasGrant, isServable } from '../core/account.ts'
import { AppError } from '../core/errors.ts'
import { words } from '../core/format-time.ts'
import { accountContext } from '../core/vault.ts'
import { noAccount } from './lists.ts'
import { print, say } from './terminal.ts'

/** A token that ends sooner is renewed first. */
const RENEWED_BEFORE_SECONDS = 300
/** Another process renews it at most as long as its lease. */
const WAIT_MS = 60_000
const POLL_MS = 250

interface Wanted {
  /** Null = the account that /token.js serves. */
  readonly account: string | null
  readonly asHeader: boolean
  readonly env: NodeJS.ProcessEnv
}

/** Prints the account's access token alone. Throws an AppError where there is none that lives. */
export async function token(agent: Agent, command: AgentCommand, { account: name, asHeader, env }: Wanted): Promise<number> {
  const { owner, store } = agent
  const found = name === null ? await store.find(null) : await findAccount(owner, name)
  if (found === null) throw new AppError('not_found', noAccount(command))
  const variable = `${found.provider.toUpperCase()}_ACCESS_TOKEN`
  if (env[variable] !== undefined) say(`${variable} is set and not used: each account’s token comes from the store.`)
  const account = await living(agent, found, command)
  if (account.accessToken === null) throw refusal(account, command, store.now())
  const secret = owner.vault.open(account.accessToken, accountContext(account, 'access_token')).reveal()
  return print(asHeader ? `Authorization: Bearer ${secret}` : secret)
}

/** The account with a token that lives on for five minutes, or at least still lives. */
async function living(agent: Agent, found: Account, command: AgentCommand): Promise<Account> {
  const { store, work } = agent
  if (isGood(found, store.now())) return found
  if (found.pausedAt !== null || found.state === 'reconnect' || !hasGrant(found)) throw refusal(found, command, store.now())
  // A token that is not confirmed is asked about, however long it lives.
  const ending = endsSoon(found, store.now()) ? { endsWithinSeconds: RENEWED_BEFORE_SECONDS } : {}
  let account = found
  // One process renews it under its claim; the others wait for its result.
  for (const untilMs = performance.now() + WAIT_MS; ; ) {
    const { results } = await work.sweep({ actor: 'cli', force: true, account: found.name, ...ending })
    account = await findAccount(agent.owner, found.name)
    if (isGood(account, store.now())) return account
    const isDone = results.some(({ outcome }) => outcome !== 'lost') || account.pausedAt !== null || account.state === 'reconnect'
    if (isDone || performance.now() > untilMs) break
    await sleep(POLL_MS)
  }
  if (account.state === 'reconnect' || !isServable(account, store.now())) throw refusal(account, command, store.now())
  say(`The token ends ${words.inWords(account.expiresAt ?? store.now(), store.now())}, and could not be renewed: ${reasonOf(account)}`)
  return account
}

function isGood(account: Account, now: Date): boolean {
  return account.state !== 'reconnect' && isServable(account, now) && !endsSoon(account, now)
}

function endsSoon({ accessToken, expiresAt }: Account, now: Date): boolean {
  return accessToken === null || (expiresAt !== null && expiresAt.getTime() - now.getTime() <= RENEWED_BEFORE_SECONDS * 1000)
}

const reasonOf = ({ lastError }: Account): string =>
  lastError === null ? 'another process has been renewing it for a minute; try again.' : words.plain(lastError)

function refusal(account: Account, command: AgentCommand, now: Date): AppError {
  const { name, pausedAt, state, accessToken, refreshToken, expiresAt, lastError } = account
  const because = (why: string): AppError => new AppError('conflict', `“${name}” has no token to give: ${why}`)
  if (pausedAt !== null) return because(`it is paused. To switch it on: ${command(`accounts resume ${name}`)}`)
  if (accessToken === null && refreshToken === null && lastError === null)
    return because(`it waits for its first one. Run: ${command(`seed ${name}`)}`)
  if (state === 'reconnect') return because(lastError === null ? 'the provider refuses it.' : words.plain(lastError))
  if (expiresAt !== null && expiresAt <= now) return because(`it ended ${words.inWords(expiresAt, now)}. ${reasonOf(account)}`)
  return because(`the provider has not confirmed it yet. ${reasonOf(account)}`)
}
