import { describeFeed, type FeedDeps, type FeedView } from '../../accounts/feed-settings.ts'
import { type ConnectLink, type LinkStore, namesUsers } from '../../accounts/links.ts'
import { findAccount } from '../../accounts/manage.ts'
import { type AdvisedAccount, describeAccount, type ViewDeps } from '../../accounts/view.ts'
import type { Account } from '../../core/account.ts'
import type { AccountStore, RecordedEvent } from '../../core/account-store.ts'
import { accountContext, tryOpen } from '../../core/vault.ts'
import { inTime } from '../pages/pages.ts'
import { createSnippets, profileLink } from '../pages/snippets.ts'
import { type TrialReading, type Visit, visitAs } from '../pages/visits.ts'
import type { Site } from '../site.ts'

export interface Idling {
  /** True where pages have not read this account's token for a day, as far as this process knows. */
  readonly hasIdled: (account: string) => boolean
}

export interface AccountPageParts {
  readonly owner: ViewDeps & FeedDeps & { readonly store: Pick<AccountStore, 'events'>; readonly links: Pick<LinkStore, 'of'> } & Idling
  readonly reading: TrialReading
  readonly site: Site
}

export interface AccountPage {
  readonly account: AdvisedAccount
  /** The newest events. */
  readonly history: readonly RecordedEvent[]
  /** The provider's name in a sentence. */
  readonly title: string
  readonly canRevoke: boolean
  readonly canConnect: boolean
  readonly link: ConnectLink | null
  /** The owner can name the user that a link is for. */
  readonly namesUsers: boolean
  /** Null where the provider gives no posts. */
  readonly feed: FeedView | null
  /** Its pages read the feed and not the token. */
  readonly onlyFeedRead: boolean
  /** Trusted HTML: the way to a token that can only read. */
  readonly readOnly: string
  /** The code to copy: the feed as an element and as an iframe; the token for servers alone, and as a script tag. Null where it does not fit. */
  readonly code: Readonly<Record<'feed' | 'frame' | 'server' | 'tag', string | null>>
  /** The web sites that may read the token, each tried. */
  readonly visits: readonly Visit[]
  readonly moreVisits: number
  /** The agent’s own pages do not count. */
  readonly hasSites: boolean
  readonly constantName: string
  /** The constant's name without a name of the account's own. */
  readonly usualConstant: string
  /** The name of /token.js's constant, if it changes once this account is the default; else null. */
  readonly renamedConstant: string | null
  /** Of the provider, for an owner who has just connected the account. */
  readonly notes: readonly string[]
}

/** Describes the page of one account. Throws `not_found` if there is no such account. */
export function createAccountPage({
  owner,
  reading,
  site,
}: AccountPageParts): (name: string, isConnected: boolean) => Promise<AccountPage> {
  const { settings } = site
  const snippets = createSnippets(site.viewsFolder)
  const usualOf = ({ provider }: Pick<Account, 'provider'>): string => settings.constantNames[provider] ?? ''
  const constantOf = (account: Pick<Account, 'jsConstant' | 'provider'>): string => account.jsConstant ?? usualOf(account)

  return async (name, isConnected) => {
    const found = await findAccount(owner, name)
    const [account, history, served, feed, trial, link, notes] = await Promise.all([
      describeAccount(owner, found),
      owner.store.events(name, 5),
      owner.store.find(null),
      describeFeed(owner, found),
      inTime(reading.peek(name)),
      owner.links.of(name),
      isConnected ? notesOf(owner, found) : [],
    ])
    const provider = owner.providers.get(account.provider)
    const { title = account.provider, connect, setup } = provider ?? {}
    const constantName = constantOf(account)
    const present = served === null ? constantName : constantOf(served)
    const { visits, more } = visitAs(reading, settings.appUrl, trial, '')
    const profile = profileLink(account.username, provider)
    const code = snippets({ appUrl: settings.appUrl, account: account.isDefault ? null : name, constantName, profile })
    const givesFeed = feed !== null && feed.serves !== 'token'
    return {
      account,
      history,
      title,
      readOnly: setup?.readOnly ?? '',
      feed,
      onlyFeedRead: feed?.serves === 'both' && isReadDaily(feed, owner.store.now()) && owner.hasIdled(name),
      canRevoke: connect?.revoke !== undefined,
      canConnect: connect !== undefined,
      link,
      namesUsers: namesUsers(connect),
      code: {
        feed: givesFeed ? (code['widget'] ?? null) : null,
        frame: givesFeed ? (code['frame'] ?? null) : null,
        server: feed?.serves !== 'feed' && isForServers(account) ? (code['curl'] ?? null) : null,
        // Without the example that uses the token.
        tag: feed?.serves === 'feed' || isForServers(account) ? null : (code['script']?.split('\n<script>')[0] ?? null),
      },
      visits,
      moreVisits: more,
      hasSites: found.allowedDomains !== null || settings.allowedDomains !== null,
      constantName,
      usualConstant: usualOf(account),
      renamedConstant: present === constantName ? null : present,
      notes,
    }
  }
}

const DAY_MS = 86_400_000

function isReadDaily({ summary }: FeedView, now: Date): boolean {
  return summary !== null && now.getTime() - summary.readAt.getTime() < DAY_MS
}

const isForServers = ({ pageUse }: AdvisedAccount): boolean => pageUse === 'servers' || pageUse === 'ended'

async function notesOf({ providers, vault }: ViewDeps, account: Account): Promise<readonly string[]> {
  const { provider, accessToken, scopes } = account
  const { connect } = providers.get(provider) ?? {}
  const token = accessToken === null ? null : tryOpen(vault, accessToken, accountContext(account, 'access_token'))
  return token === null ? [] : ((await connect?.notes?.(token, scopes)) ?? [])
}
