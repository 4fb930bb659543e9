/** The arguments and the help of one command. */
export interface Form {
  /** The arguments, as the help shows them. */
  readonly words: string
  readonly summary: string
  readonly details?: string
  /** An account's name `must` or `may` follow. */
  readonly name?: 'must' | 'may'
  /** What each option does. */
  readonly options?: Readonly<Partial<Record<Option, string>>>
  /** The highest number of words after the name. */
  readonly rest?: number
  /** One of these follows the name; with `mayChoose` none need follow. */
  readonly choices?: readonly string[]
  readonly mayChoose?: boolean
}

/** Each option; `value`: what follows it, as the help shows it. */
export const OPTIONS = {
  attention: null,
  clear: null,
  code: '-',
  'dry-run': null,
  erased: '<log>',
  fetch: null,
  force: null,
  header: null,
  json: null,
  listen: '<where>',
  'no-browser': null,
  'object-id': '<id>',
  'other-user': null,
  provider: '<which>',
  redirect: '<uri>',
  replace: null,
  'refresh-token': null,
  revoke: null,
  show: null,
  start: null,
} as const satisfies Record<string, string | null>
export type Option = keyof typeof OPTIONS

const REFRESH = {
  words: '[account] [--dry-run] [--force] [--json]',
  summary: 'refresh the accounts that are due',
  details: 'One line an account. Exit code 1 if a refresh failed, or an account needs a person.',
  name: 'may',
  options: {
    'dry-run': 'only say what would be refreshed',
    force: 'also accounts that are not due',
    json: 'one JSON array, for scripts',
  },
} as const
const ATTENTION = 'only accounts that a person should look at'

export const FORMS = {
  serve: { words: '', summary: 'run the agent: web server and timer' },
  migrate: { words: '', summary: 'bring the database up to date' },
  seed: {
    words: '[account] [--provider <which>] [--refresh-token]',
    summary: 'store a long-lived token, read from standard input',
    details:
      'Paste the token or pipe it in; never give it as an argument. Without a name: the account “default”, or with --provider the one that the provider’s own variable seeds. “auth providers” says which kind of token each one takes.',
    name: 'may',
    options: {
      provider: 'whose token it is; without it the account’s provider, else the one of the same name, else the first one',
      'refresh-token': 'the token is a refresh token: refused where the provider takes another kind',
    },
  },
  refresh: REFRESH,
  token: {
    words: '[account] [--header]',
    summary: 'print the access token, for scripts that post; it is renewed first if it ends within five minutes',
    details:
      'Without a name: the account that /token.js serves. Never put the token into an argument of a program: the list of processes shows it, and so does “set -x”. Let curl read it: … token shop --header | curl -H @- https://…',
    name: 'may',
    options: { header: 'the line “Authorization: Bearer …”', show: 'also where a terminal would show it' },
  },
  auth: {
    words: '<provider> [account]',
    summary: 'connect an account in your browser',
    details:
      'Without a name: the account that the provider’s own seed goes to, mostly of the provider’s name. The answer comes to this computer, or is pasted; the first valid one counts.',
    rest: 2,
    options: {
      redirect: 'exactly this registered redirect URI; another host than this computer means paste only',
      start: 'print the address to open, and end; finish within ten minutes with --code',
      code: 'finish with the address where the browser ended, read from standard input',
      listen: 'loopback, all, or an address of this computer; in a container: all',
      'no-browser': 'open no browser',
      'object-id': 'which of the accounts that the login leads to, by its number',
      'other-user': 'let another user take the account over without asking',
      json: 'one JSON object when it is done',
    },
  },
  'auth refresh': { ...REFRESH, summary: 'another name for “refresh”' },
  'auth providers': {
    words: '[--json]',
    summary: 'show which providers are set up, what is missing, and what to register where',
    details: 'Exit code 1 if none is set up.',
    options: { json: 'one JSON array, for scripts' },
  },
  import: {
    words: '[--force]',
    summary: 'take over the token of the older Ruby agent from its database',
    details: 'A list of accounts is taken by “accounts import”.',
    options: { force: 'also replace a token that works, and import one that has expired by the old agent’s clock' },
  },
  status: {
    words: '[--attention] [--json]',
    summary: 'show every account on a line, those that need you first',
    details: 'Exit code 1 if an account needs a person. An account that waits for its first token is no failure.',
    options: { attention: ATTENTION, json: 'one JSON array, for scripts, by name' },
  },
  feed: {
    words: '[account] [--fetch] [--clear] [--json]',
    summary: 'show the feeds: posts, age, size, and what went wrong',
    details: 'Exit code 1 if a feed that is read has had no good answer for six hours.',
    name: 'may',
    options: {
      fetch: 'fetch the posts of this account now',
      clear: 'delete its posts and pictures; the next reader has them fetched again',
      json: 'one JSON array, for scripts, by name',
    },
  },
  'alert-test': {
    words: '',
    summary: 'send a test message to each place that alerts go to',
    details:
      'Exit code 0 if each one took it. ALERT_WEBHOOK_URL, or SMTP_URL and ALERT_EMAIL_TO, name the places; the last step of /setup leads to their values.',
  },
  'keychain status': { words: '', summary: 'show where the key of the embedded store lies, and whether a keychain can hold it' },
  'keychain enable': {
    words: '',
    summary: 'move the key of the embedded store into the operating system’s keychain',
    details:
      'The tokens are sealed with this key, which lies in a file beside the store. The command shows the key once, for a safe place: keep it. Only for an agent that runs in a desktop session: at a boot no keychain is unlocked. Before you go back to an older release, run “keychain disable”.',
  },
  'keychain disable': { words: '', summary: 'move the key back into the file beside the embedded store' },
  'rotate-keys': { words: '', summary: 'seal every token again with the newest key of ENCRYPTION_KEY' },
  backup: {
    words: '<file>',
    summary: 'write all accounts, their sealed tokens and their history into a file',
    details:
      'Run it while the agent works. The key that opens the tokens is not in the file: keep it apart. Feeds, pictures, sessions and links are left out.',
    rest: 1,
  },
  restore: {
    words: '<file> [--replace] [--erased <log>]',
    summary: 'put a backup into this store; each token is served once its provider has confirmed it',
    details:
      'Stop the agent first, and start it afterwards. All of the backup is taken, or nothing. It needs the key of the agent that made the backup.',
    rest: 1,
    options: {
      replace: 'also where the store has accounts: they are lost',
      erased: 'the agent’s log since the backup: what was erased or removed since stays away',
    },
  },
  'accounts list': {
    words: '[--attention] [--json]',
    summary: 'show every account’s settings on a line, those that need you first',
    details: 'An asterisk marks the account that /token.js serves.',
    options: { attention: ATTENTION, json: 'one JSON array, for scripts, by name' },
  },
  'accounts add': {
    words: '<name> [--provider <which>]',
    summary: 'create an account; then give it a token with “seed <name>”',
    details: 'The provider may also follow the name alone.',
    name: 'must',
    options: { provider: 'its provider; without it the provider of the same name, else the first one' },
    rest: 1,
  },
  'accounts remove': {
    words: '<name> [--revoke]',
    summary: 'erase its token and settings',
    name: 'must',
    options: { revoke: 'also revoke the permission at the provider' },
  },
  'accounts set-domains': {
    words: '<name> [web site…]',
    summary: 'set the web sites that may read its token; none: the global list',
    name: 'must',
    rest: Number.POSITIVE_INFINITY,
  },
  'accounts set-constant': {
    words: '<name> [constant]',
    summary: 'set the constant’s name in its token.js; none: the global one',
    name: 'must',
    rest: 1,
  },
  'accounts set-pages': {
    words: '<name> allowed|servers-only',
    summary: 'say whether web pages may have a token that can do more than read',
    details:
      'allowed: each visitor of a page can copy the token, and post, answer or delete as the account until the token ends; this ends when its permissions change. servers-only: web pages get an error that says why. Tokens that can only read are for pages anyway.',
    name: 'must',
    rest: 1,
    choices: ['allowed', 'servers-only'],
  },
  'accounts set-serves': {
    words: '<name> [token|both|feed]',
    summary: 'set what web sites and servers get; none: FEED_MODE decides',
    details:
      'feed: the posts alone; every address of the token answers 403, also to servers. A token that pages have read before lives on until it ends.',
    name: 'must',
    rest: 1,
    choices: ['token', 'both', 'feed'],
    mayChoose: true,
  },
  'accounts set-open': {
    words: '<name> on|off',
    summary: 'let any web site read its feed, or only those of the list',
    details: 'on: shared caches may keep the posts, and show a deleted one for up to a day. The token keeps its list.',
    name: 'must',
    rest: 1,
    choices: ['on', 'off'],
  },
  'accounts set-default': { words: '<name>', summary: 'let /token.js serve it', name: 'must' },
  'accounts pause': { words: '<name>', summary: 'neither refresh nor serve it until it is resumed', name: 'must' },
  'accounts resume': { words: '<name>', summary: 'refresh and serve it again', name: 'must' },
  'accounts export': {
    words: '',
    summary: 'write all accounts as CSV: name, provider, web sites, constant; never a token',
    details: 'A cell that a spreadsheet would run as a formula gets an apostrophe in front, which “accounts import” takes off again.',
  },
  'accounts import': {
    words: '[--replace]',
    summary: 'create accounts from CSV on standard input',
    details:
      'The first line names the columns: name, and any of provider, domains, constant, token. An empty cell means what “accounts add” does without it; web sites are separated by blanks. All accounts are taken, or none. A token is never repeated, and its provider is asked about it afterwards. (The token of the older Ruby agent: “import”.)',
    options: { replace: 'also change the settings of accounts that exist; a column that is missing stays as it is' },
  },
} satisfies Record<string, Form>

export type CommandName = keyof typeof FORMS
export const COMMANDS = Object.keys(FORMS) as CommandName[]

/** First words that need a second one, such as `accounts`. */
export const GROUPS: readonly string[] = [...new Set(COMMANDS.flatMap((name) => (name.includes(' ') ? [firstOf(name)] : [])))].filter(
  (first) => !COMMANDS.some((name) => name === first),
)

function firstOf(name: string): string {
  return name.split(' ', 1)[0] ?? name
}

/** The second words of commands that begin with `first`. */
export const secondWords = (first: string): string[] =>
  COMMANDS.filter((name) => name.startsWith(`${first} `)).map((name) => name.slice(first.length + 1))
