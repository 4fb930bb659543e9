import { findAccount } from '../accounts/manage.ts'
import { describeAccount } from '../accounts/view.ts'
import type { Agent } from '../agent.ts'
import type { Config } from '../config/config.ts'
import type { Account } from '../core/account.ts'
import { words } from '../core/format-time.ts'
import { accountContext, tryOpen } from '../core/vault.ts'
import { entriesOf } from '../reading/allow-list.ts'
import { print, say } from './terminal.ts'

interface How {
  readonly config: Config
  readonly json: boolean
  /** It had no user before. */
  readonly isNew: boolean
  readonly isInteractive: boolean
}

/** Prints whose the account is, how long its token lives and where it is read. */
export async function printConnected({ owner, store }: Agent, name: string, { config, json, isNew, isInteractive }: How): Promise<void> {
  const account = await findAccount(owner, name)
  const view = await describeAccount(owner, account)
  const { username, expiresAt, nextRefreshAt, pageUse, provider } = view
  const [isForServers, path] = [pageUse === 'servers' || pageUse === 'ended', `/accounts/${name}/token.js`]
  const sites = account.allowedDomains?.split(' ') ?? entriesOf(config.allowList)
  const readAt = isForServers
    ? `/accounts/${name}/token.json, with a key of SERVER_KEYS alone`
    : `${path} from ${sites.join(', ') || 'no web site yet'}`
  const notes = await notesOf(owner, account)
  if (json) {
    const { reconnectBy } = account
    print(
      JSON.stringify(
        { account: name, provider, username, expiresAt, nextRefreshAt, reconnectBy, pages: !isForServers, sites, notes },
        null,
        2,
      ),
    )
    return
  }
  const dates = [
    ...(expiresAt === null ? [] : [`Good until ${words.dayInUtc(expiresAt)}`]),
    ...(nextRefreshAt === null
      ? []
      : [
          `next refresh ${nextRefreshAt.getTime() - store.now().getTime() < DAY_MS ? words.inUtc(nextRefreshAt) : words.dayInUtc(nextRefreshAt)}`,
        ]),
  ]
  print(
    `Connected ${username === null ? 'the account' : `@${username}`} as “${name}”.${dates.length === 0 ? '' : ` ${capital(dates.join(', '))}.`}`,
  )
  print(`Read it at ${readAt}.`)
  if (account.reconnectBy !== null) print(`A person must connect it again by ${words.dayInUtc(account.reconnectBy)}.`)
  if (owner.providers.get(provider)?.renewal === 'rotating') print(`Never use its ${ROTATING}`)
  for (const note of notes) print(note)
  if (isNew && !isInteractive)
    say(
      `The command asked no person whether ${username === null ? 'this' : `@${username}`} is the right user. To undo it: ${config.command(`accounts remove ${name}`)}`,
    )
}

const DAY_MS = 86_400_000
export const ROTATING = 'refresh token anywhere else: each use voids it, and the agent would lose the account.'
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

async function notesOf({ providers, vault }: Agent['owner'], account: Account): Promise<readonly string[]> {
  const token = account.accessToken === null ? null : tryOpen(vault, account.accessToken, accountContext(account, 'access_token'))
  return token === null ? [] : ((await providers.get(account.provider)?.connect?.notes?.(token, account.scopes)) ?? [])
}
