import { describeFeed, type FeedDeps, setFeedOpen, setServes } from '../accounts/feed-settings.ts'
import * as manage from '../accounts/manage.ts'
import { describeAccount, type ViewDeps } from '../accounts/view.ts'
import type { AgentCommand } from '../config/agent-command.ts'
import { words } from '../core/format-time.ts'
import type { Serves } from '../core/serves.ts'
import type { Command } from './arguments.ts'
import { listAccounts } from './lists.ts'
import { print, say } from './terminal.ts'
import { looksSecret } from './words.ts'

/** The commands that begin with `accounts`. */
export async function accountsCommand(
  deps: manage.ManageDeps & ViewDeps & FeedDeps,
  command: AgentCommand,
  invocation: Command,
): Promise<number> {
  const { name, account, rest, options } = invocation
  if (name === 'accounts list' || account === null) return listAccounts(deps, command, invocation)
  switch (name) {
    case 'accounts add':
      await manage.createAccount(deps, account, options.get('provider') ?? rest[0] ?? manage.providerFor(deps, account), 'cli')
      return print(`The account “${account}” was created. Give it a token: ${command(`seed ${account}`)}`)
    case 'accounts remove': {
      const { removal, record } = await manage.removeAccount(deps, account, options.has('revoke'), 'cli')
      // A command writes no log.
      say(`A restore of an older backup needs this line: ${JSON.stringify(record)}`)
      if (removal === 'removed_not_revoked') {
        return print(
          `“${account}” was removed, but the provider did not revoke the permission: remove the app in the account’s settings there.`,
          1,
        )
      }
      return print(`“${account}” was removed; its history stays.`)
    }
    case 'accounts set-domains':
      return setDomains(deps, account, rest)
    case 'accounts set-constant':
      await manage.setConstant(deps, account, rest[0] ?? null, 'cli')
      return print(
        rest[0] === undefined ? `“${account}” uses the global constant’s name.` : `The constant of “${account}” is called ${rest[0]}.`,
      )
    case 'accounts set-pages':
      return setPages(deps, command, account, rest[0] === 'allowed')
    case 'accounts set-serves':
      return changeServes(deps, account, (rest[0] ?? null) as Serves | null)
    case 'accounts set-open': {
      const isOpen = rest[0] === 'on'
      await setFeedOpen(deps, account, isOpen, 'cli')
      return print(
        isOpen ? `Any web site may read the feed of “${account}”.` : `Only the web sites of its list may read the feed of “${account}”.`,
      )
    }
    case 'accounts set-default':
      await manage.makeDefault(deps, account, 'cli')
      return print(`/token.js now serves “${account}”.`)
    default:
      await manage.setPaused(deps, account, name === 'accounts pause', 'cli')
      return print(
        name === 'accounts pause' ? `“${account}” is now neither refreshed nor served.` : `“${account}” is refreshed and served again.`,
      )
  }
}

const GIVES: Readonly<Record<Serves, string>> = {
  token: 'the token, and no feed',
  both: 'the feed, and the token',
  feed: 'the feed alone; every address of the token answers 403',
}

async function changeServes(deps: FeedDeps, name: string, serves: Serves | null): Promise<number> {
  await setServes(deps, name, serves, 'cli')
  const view = await describeFeed(deps, await manage.findAccount(deps, name))
  const until = view?.tokenUntil ?? null
  print(`Web sites get ${GIVES[view?.serves ?? 'token']} of “${name}”${serves === null ? ', as FEED_MODE says' : ''}.`)
  if (until === null) return 0
  return print(
    `Who has read the token before can use it until ${words.inUtc(until)}. To end it sooner, remove the app in the account’s settings at its provider, and connect the account again.`,
  )
}

/** Asks for nothing that the account's page does not ask: there the owner reads the same before the tick. */
async function setPages(deps: manage.ManageDeps & ViewDeps, command: AgentCommand, name: string, allow: boolean): Promise<number> {
  const { scopes, token, username, pageUse } = await describeAccount(deps, await manage.findAccount(deps, name))
  if (token === null) return print(`“${name}” has no token yet, so there is nothing to decide.`, 1)
  if (pageUse === 'safe' || pageUse === 'untold') {
    const why = pageUse === 'safe' ? 'can only read' : 'does not tell what it can do'
    const others = allow ? '' : ` Which web sites get it, its list says: ${command(`accounts set-domains ${name} <web site…>`)}`
    return print(`The token of “${name}” ${why}: web pages get it, and nothing was changed.${others}`, allow ? 0 : 1)
  }
  await manage.setPageUse(deps, name, { allow, scopes }, 'cli')
  if (!allow) return print(`Only servers get the token of “${name}” now, with a key of SERVER_KEYS. Web pages get an error that says why.`)
  const can = scopes === null ? 'It does not tell its permissions' : `Its permissions: ${scopes.split(' ').join(', ')}`
  return print(
    `Web pages get the token of “${name}” now. ${can}.
Each visitor of such a page can copy it, and may post, answer or delete as ${username === null ? 'this account' : `@${username}`} until it ends.
This ends when its permissions change. To take it back: ${command(`accounts set-pages ${name} servers-only`)}`,
  )
}

async function setDomains(deps: manage.ManageDeps, account: string, words: readonly string[]): Promise<number> {
  const { saved, warnings } = await manage.setDomains(deps, account, words.length === 0 ? null : words.join(' '), 'cli')
  for (const warning of warnings) process.stderr.write(`Warning: ${warning}.\n`)
  if (saved === null) return print(`“${account}” uses the global list.`)
  // A host's name may look like a key. If one word does, none is repeated, because it may be a key.
  const sites = words.some((word) => word.split('.').some(looksSecret)) ? 'the web sites that you named' : saved
  return print(`The token of “${account}” can be read by ${sites}.`)
}
