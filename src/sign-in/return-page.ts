import { isAccountName } from '../core/account.ts'
import { isMarked, marked, type Vault } from '../core/vault.ts'

/** The pages that a sign-in leads back to. None of them changes anything, and the provider's callback is none. */
const PAGES: Readonly<Record<string, (name: string) => string>> = {
  setup: () => '/setup',
  status: () => '/status',
  history: () => '/admin/history',
  account: (name) => `/admin/accounts/${name}`,
  attempts: (name) => `/admin/accounts/${name}/history`,
  connect: (name) => `/connect/${name}`,
}
const BY_ROUTE: Readonly<Record<string, string>> = {
  '/setup': 'setup',
  '/status': 'status',
  '/admin/history': 'history',
  '/admin/accounts/:account/history': 'attempts',
  '/connect/:provider': 'connect',
}
const FORM_OF_ACCOUNT = /^\/admin\/accounts\/:account(?:\/|$)/
const SIGN_IN = '/admin/sign-in'
const USE = 'page after sign-in'

export interface ReturnPages {
  /** The address of the sign-in, for a visitor of this route. An account's forms lead back to its page. */
  signInFrom(route: string, params?: unknown): string
  /** The page that such an address names; else the owner's first page. */
  pageIn(value: unknown): string
}

/** The address names the page by a word of a closed list, with a MAC, so no link of others chooses where a sign-in ends. */
export function createReturnPages(vault: Vault): ReturnPages {
  return {
    signInFrom(route, params = {}) {
      const page = BY_ROUTE[route] ?? (FORM_OF_ACCOUNT.test(route) ? 'account' : undefined)
      const { account, provider } = params as { account?: unknown; provider?: unknown }
      const name = account ?? provider ?? ''
      if (page === undefined || typeof name !== 'string' || (name !== '' && !isAccountName(name))) return SIGN_IN
      return `${SIGN_IN}?page=${marked(vault, USE, `${page}.${name}.`)}`
    },
    pageIn(value) {
      if (typeof value !== 'string' || !isMarked(vault, USE, value)) return '/admin'
      const [page = '', name = ''] = value.split('.')
      return PAGES[page]?.(name) ?? '/admin'
    },
  }
}
