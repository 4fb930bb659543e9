import type { FastifyRequest } from 'fastify'
import { staleSentence } from '../../accounts/publish-change.ts'
import { FEED_DONE } from './feed-routes.ts'
import { LINK_DONE } from './link-routes.ts'

const DONE = new Map(
  Object.entries({
    created: 'The account was created. Connect it, or paste a token.',
    connected: 'Connected. The new token is served from now on.',
    declined: 'Nothing was changed, and the new token was deleted.',
    stored: 'The token is stored, and is being checked.',
    taken: 'The token works and is stored.',
    checked:
      'The token works and is stored. It is too young to be refreshed, which is normal; the agent refreshes it when it is a day old.',
    refreshed: 'The token was refreshed.',
    verified: 'The token works, but is too young to be refreshed: the provider refuses that in its first 24 hours.',
    lost: 'The token is being refreshed at this moment; look again in a minute.',
    domains: 'The list of web sites was saved.',
    domains_shared:
      'The list of web sites was saved, but strangers can have pages under one of its entries and read the token there. Name your own hosts: the next release refuses such entries.',
    constant: 'The name of the constant was saved.',
    pages_allowed: 'Web pages get the token from now on. That ends when the token’s permissions change.',
    servers_only: 'Only servers get the token from now on.',
    paused: 'The account is paused: its token is neither refreshed nor served.',
    resumed: 'The account is on again.',
    default: 'The addresses without a name serve this account from now on.',
    ...FEED_DONE,
    ...LINK_DONE,
    removed: 'The account was removed; its history stays.',
    removed_and_revoked: 'The account was removed, and the provider revoked the permission.',
    removed_not_revoked:
      'The account was removed. The provider did not revoke the permission: remove the app in the account’s settings there.',
  }),
)

/** What the action before led to, by the page's address; null = it names none. */
export function doneSentence({ query }: FastifyRequest): string | null {
  const { done, until } = query as { done?: unknown; until?: unknown }
  const message = DONE.get(String(done))
  if (message === undefined) return null
  return /^\d{13}$/.test(String(until)) ? `${message} ${staleSentence(new Date(Number(until)))}` : message
}
