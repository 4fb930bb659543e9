import type { FeedView } from '../../accounts/feed-settings.ts'
import { type AccountView, conditionWord } from '../../accounts/view.ts'
import type { PartHealth } from '../../status/health.ts'

/** `next`: the first open step. `later`: an open step after it. `optional`: the agent works without it. */
export type StepState = 'done' | 'wrong' | 'next' | 'later' | 'optional'

/** An icon of icon.eta with the word beside it. */
export interface StateLabel {
  readonly icon: 'good' | 'bad' | 'next' | 'wait' | 'pause' | 'plain'
  readonly word: string
}

const EVENTS: Readonly<Record<string, string>> = {
  seeded: 'token stored',
  seed_refused: 'token refused',
  replaced: 'token replaced',
  verified: 'token checked',
  refreshed: 'refreshed',
  refresh_failed: 'refresh failed',
  reconnect_needed: 'needs to be connected again',
  created: 'created',
  connected: 'connected',
  changed: 'settings changed',
  paused: 'paused',
  resumed: 'switched on',
  made_default: 'made the default',
  removed: 'removed',
  erased: 'data erased',
  call_ignored: 'late call',
  signed_in: 'signed in',
  sign_in_failed: 'sign-in failed',
  signed_out: 'signed out',
  provider_trouble: 'provider trouble',
  grant_waits: 'allowed access by your link',
}
const ACTORS: Readonly<Record<string, string>> = {
  owner: 'the owner',
  timer: 'the timer',
  webhook: 'the webhook',
  cli: 'the command line',
  boot: 'the start',
  provider: 'the provider',
  link: 'a client with your link',
}
const CONDITIONS: Readonly<Record<string, StateLabel['icon']>> = {
  working: 'good',
  paused: 'pause',
  empty: 'next',
  checking: 'wait',
  'trying again': 'wait',
  'needs you': 'bad',
}
const STEPS: Readonly<Record<StepState, StateLabel>> = {
  done: { icon: 'good', word: 'Done' },
  wrong: { icon: 'bad', word: 'Needs attention' },
  next: { icon: 'next', word: 'Next' },
  later: { icon: 'plain', word: 'Later' },
  optional: { icon: 'plain', word: 'Optional' },
}
const ANSWERS: Readonly<Record<string, StateLabel>> = {
  up: { icon: 'good', word: 'Answers' },
  down: { icon: 'bad', word: 'Does not answer' },
  'every token opens': { icon: 'good', word: 'Every token opens' },
}
const PARTS: Readonly<Record<string, readonly [title: string, consequence: string]>> = {
  store: ['Database', 'Web sites get the tokens seen last, until they expire; nothing is refreshed.'],
  memcached: ['Memcached', 'Nothing is lost: tokens are read from the database.'],
  encryption: ['Encryption key', 'A stored token opens with no key in ENCRYPTION_KEY: put the key that sealed it back.'],
}

function feedLabel({ serves, summary }: FeedView): StateLabel {
  if (serves === 'token') return { icon: 'plain', word: 'Off' }
  if (summary === null || (summary.fetchedAt === null && !summary.isFailing)) return { icon: 'plain', word: 'No reader yet' }
  if (summary.isFailing) return { icon: 'bad', word: 'No new posts' }
  return { icon: 'good', word: 'Up to date' }
}

const eventWord = (kind: string): string => EVENTS[kind] ?? kind
const actorWord = (actor: string): string => ACTORS[actor] ?? actor

function conditionLabel(account: Pick<AccountView, 'condition' | 'failureCount'>): StateLabel {
  const word = conditionWord(account)
  return { icon: CONDITIONS[word] ?? 'plain', word }
}

const stepLabel = (state: StepState): StateLabel => STEPS[state]

/** The mark in the circle beside a setup step. */
function stepMark(state: StepState, number: number): string {
  return state === 'done' ? '✓' : state === 'wrong' ? '!' : String(number)
}

export interface PartTile {
  readonly title: string
  readonly label: StateLabel
  /** Empty if the part works. */
  readonly consequence: string
  readonly since: Date
}

/** One tile for each part that this agent uses. */
function partTiles(parts: Readonly<Record<string, PartHealth | undefined>>): PartTile[] {
  return Object.entries(PARTS).flatMap(([name, [title, consequence]]) => {
    const part = parts[name]
    if (part === undefined) return []
    const label = ANSWERS[part.state] ?? STEPS.wrong
    return [{ title, label, consequence: label.icon === 'bad' ? consequence : '', since: part.since }]
  })
}

/** The label of a channel of alerts; null = no message was sent yet. */
function channelLabel(isUp: boolean | null): StateLabel {
  if (isUp === null) return { icon: 'wait', word: 'Not tried yet' }
  return isUp ? { icon: 'good', word: 'Works' } : { icon: 'bad', word: 'Does not work' }
}

/** The label of a provider's last answer; null = not asked yet. */
function answerLabel(outcome: 'ok' | 'failed' | null): StateLabel {
  if (outcome === null) return { icon: 'plain', word: 'Not asked yet' }
  return outcome === 'ok' ? { icon: 'good', word: 'Answers' } : { icon: 'bad', word: 'Last answer: no' }
}

export interface NavLink {
  readonly href: string
  readonly text: string
  /** For aria-current: `page` for this page, `true` for a page below it. */
  readonly current: 'page' | 'true' | null
}

function navLinks(path: string): NavLink[] {
  const isOwners = path.startsWith('/admin') || path.startsWith('/connect')
  const links = { '/': 'Use it', '/setup': 'Set up', '/status': 'Status', '/admin': 'Accounts' }
  return Object.entries(links).map(([href, text]) => {
    return { href, text, current: path === href ? 'page' : href === '/admin' && isOwners ? 'true' : null }
  })
}

export interface PlatformHelp {
  readonly id: string
  readonly name: string
  readonly text: string
  /** Null if there is nothing to type. */
  readonly code: string | null
}

/** How to set a variable on each platform; `example` is a line such as `NAME=value`. */
function platformHelp(example: string): PlatformHelp[] {
  // A shell would read `&` and `?`, which addresses have.
  const typed = example.includes('://') ? `"${example}"` : example
  // Before a command only the value may stand in quotes.
  const inFront = example.includes('://') ? example.replace(/=(.*)$/, '="$1"') : example
  return [
    {
      id: 'heroku',
      name: 'Heroku',
      text: 'In the Heroku Dashboard open your app, then “Settings”, “Config Vars”, “Reveal Config Vars”. Heroku restarts the agent by itself. On a terminal:',
      code: `heroku config:set ${typed}`,
    },
    {
      id: 'render',
      name: 'Render',
      text: 'In the Render Dashboard open the service, then “Environment”. Add the variable and save; Render deploys again by itself.',
      code: null,
    },
    {
      id: 'railway',
      name: 'Railway',
      text: 'In your project open the service, then “Variables”. Add the variable and press “Deploy”. On a terminal:',
      code: `railway variables --set ${typed}`,
    },
    {
      id: 'fly',
      name: 'Fly',
      text: 'Fly keeps variables as secrets, and restarts the agent by itself:',
      code: `fly secrets set ${typed}`,
    },
    {
      id: 'docker',
      name: 'Docker',
      text: 'Put the line into the file .env, which compose.yaml and “docker run --env-file .env” read. With Compose start the agent again as below; without it remove the container and run it again.',
      code: `${example}\n\ndocker compose up -d`,
    },
    {
      id: 'server',
      name: 'A server of your own',
      text: 'With systemd put the line into /etc/token-agent.env, then: systemctl restart token-agent. In a terminal end the agent with Ctrl-C, and start it with the variable before the command:',
      code: `${inFront} npm start`,
    },
  ]
}

/** Labels for the templates. */
export const labels = {
  eventWord,
  actorWord,
  conditionLabel,
  stepLabel,
  stepMark,
  partTiles,
  channelLabel,
  answerLabel,
  feedLabel,
  navLinks,
  platformHelp,
}
