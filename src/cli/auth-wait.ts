import { timingSafeEqual } from 'node:crypto'
import { startConnect } from '../accounts/connect.ts'
import type { ConnectDeps } from '../accounts/connected.ts'
import { endTrip, type OpenTrip, TERMINAL_SESSION } from '../accounts/terminal-trip.ts'
import { digest } from '../core/digest.ts'
import { AppError } from '../core/errors.ts'
import { type Ask, type ConnectedAccount, connectWith, sentenceOf } from './auth-answer.ts'
import type { AuthSettings } from './auth-settings.ts'
import type { Lines } from './lines.ts'
import { type LoopbackPage, listen } from './loopback.ts'
import { type Answer, readPastedAnswer } from './pasted-answer.ts'
import { openBrowser, ownAddresses, type Surroundings } from './surroundings.ts'
import { say } from './terminal.ts'

export interface AuthTimes {
  readonly limitMs: number
  /** A hint follows so much silence. */
  readonly silenceMs: number
  /** Between two tries to save a grant. */
  readonly retryMs: number
}

export interface Flow {
  readonly deps: ConnectDeps
  readonly settings: AuthSettings
  readonly ask: Ask
  /** Ctrl-C. */
  readonly stopped: AbortSignal
  /** Null = nothing can be pasted. */
  readonly lines: Lines | null
  readonly around: Surroundings
  readonly times: AuthTimes
  /** The variable whose secret stands in a text. */
  readonly secretIn: (text: string) => string | null
}

type Take = (answer: Answer) => Promise<ConnectedAccount>

const NOTHING = 'Nothing was changed'
const ANOTHER = 'This address belongs to another attempt.'

/** Equal states, compared in constant time. */
export const isSame = (a: string, b: string): boolean => timingSafeEqual(Buffer.from(digest(a)), Buffer.from(digest(b)))

/** Listens, prints the address, opens the browser, and waits for the first answer from the browser or the keyboard. */
export async function waitForAnswer(flow: Flow): Promise<ConnectedAccount> {
  const { deps, settings, stopped, times } = flow
  const limit = AbortSignal.timeout(times.limitMs)
  const over = AbortSignal.any([stopped, limit])
  const begun = new AbortController()
  const asking = Promise.withResolvers<LoopbackPage>()
  const ended = Promise.withResolvers<ConnectedAccount>()
  ended.promise.catch(() => {})
  let trip: OpenTrip | null = null
  let running: Promise<ConnectedAccount> | null = null

  const ask: Ask = (question) => {
    if (flow.lines !== null)
      asking.resolve({
        status: 200,
        title: 'One question is left',
        text: 'The terminal asks it. Nothing is changed before you answer there.',
      })
    return flow.ask(question)
  }
  // Both ways at once are one exchange.
  const take: Take = (answer) => {
    if (trip === null) throw new Error('unreachable: no answer comes before the request')
    begun.abort()
    running ??= connectWith(deps, answer, { settings, trip, ask })
    running.then(ended.resolve, ended.reject)
    return running
  }
  over.addEventListener('abort', () => {
    // An exchange that has begun is saved first.
    if (running !== null) say('The answer is being saved; once more ends the command at once, and what the provider has given may be lost.')
    else ended.reject(new AppError('unavailable', limit.aborted ? `Nobody approved within ten minutes. ${NOTHING}.` : `${NOTHING}.`))
  })
  const onAnswer = (answer: Answer): Promise<LoopbackPage> => pageFor(answer, { settings, trip, take, asked: asking.promise })
  const listener =
    settings.listen === null
      ? null
      : await listen({ redirectUris: settings.redirectUris, where: settings.listen, onAnswer, onTlsError: once(TLS_HINT) })
  let silence: NodeJS.Timeout | undefined
  try {
    const redirectUri = listener?.redirectUri ?? settings.redirectUris[0] ?? ''
    const url = await startConnect(deps, {
      provider: settings.provider.name,
      account: settings.account,
      sessionId: TERMINAL_SESSION,
      redirectUri,
    })
    trip = { state: url.searchParams.get('state') ?? '', redirectUri }
    if (over.aborted) throw new AppError('unavailable', `${NOTHING}.`)
    announce(url, flow, redirectUri)
    if (settings.browser !== null && !(await openBrowser(settings.browser, url.href)))
      say('No browser could be opened here: open the address above.')
    silence = setTimeout(
      () => say(`Nothing yet. If the page shows “Invalid redirect_uri”, register this line in the dashboard: ${redirectUri}`),
      times.silenceMs,
    )
    begun.signal.addEventListener('abort', () => clearTimeout(silence))
    if (flow.lines !== null) void readPastes(flow, { url, trip, take, until: AbortSignal.any([over, begun.signal]) })
    return await ended.promise
  } finally {
    clearTimeout(silence)
    if (trip !== null && running === null) await endTrip(deps, trip).catch(() => {})
    await listener?.close()
  }
}

const TLS_HINT = 'The browser does not know this computer’s certificate yet: choose “Advanced”, then “Proceed to localhost”.'

function once(sentence: string): () => void {
  let isSaid = false
  return () => {
    if (!isSaid) say(sentence)
    isSaid = true
  }
}

interface Asked {
  readonly settings: AuthSettings
  readonly trip: OpenTrip | null
  readonly take: Take
  /** Resolves when the terminal asks something. */
  readonly asked: Promise<LoopbackPage>
}

/** The answer of the browser, and the page that it gets. */
async function pageFor(answer: Answer, { settings, trip, take, asked }: Asked): Promise<LoopbackPage> {
  const { state, error } = answer
  if (trip === null || state === undefined || !isSame(state, trip.state)) {
    // A denial may arrive without its state, and a stranger can make one up: it ends nothing.
    if (error !== undefined && state === undefined) say(`${settings.provider.title} says that the access was not given. Waiting on.`)
    return { status: 400, title: NOTHING, text: `${ANOTHER} Open the one that the terminal shows.` }
  }
  const done = take(answer).then(
    ({ username }): LoopbackPage => ({
      status: 200,
      title: 'Connected',
      text: `${username === null ? 'The account' : `@${username}`} is connected as “${settings.account}”. You can close this page.`,
    }),
    (failure: unknown): LoopbackPage => ({ status: 422, title: NOTHING, text: sentenceOf(failure) }),
  )
  return Promise.race([done, asked])
}

/** Ends with the first text that belongs to the request. */
async function readPastes(
  { lines, secretIn }: Flow,
  { url, trip, take, until }: { url: URL; trip: OpenTrip; take: Take; until: AbortSignal },
): Promise<void> {
  const expected = {
    redirectUri: trip.redirectUri,
    authorizePage: url.origin + url.pathname,
    secretIn,
  }
  for (;;) {
    process.stderr.write('> ')
    const text = (await lines?.next(until)) ?? null
    // The prompt's line ends, so that what follows begins a line.
    if (text === null) return void process.stderr.write('\n')
    if (text.trim() === '') continue
    const { answer, problem } = readPastedAnswer(text, expected)
    if (problem !== null) say(problem)
    else if (answer.state !== undefined && !isSame(answer.state, trip.state))
      say(`${ANOTHER} Paste the one from the page that you have just approved.`)
    else return void take(answer).catch(() => {})
  }
}

function announce(url: URL, { settings, around, lines }: Flow, redirectUri: string): void {
  const { port, protocol, host } = new URL(redirectUri)
  const isHttps = protocol === 'https:' && settings.listen !== null
  const register = settings.provider.loopback === 'http' ? '' : '        must be registered in the Meta App Dashboard, exactly so'
  say(`Callback    ${redirectUri}${register}`)
  if (url.searchParams.has('scope')) say(`Permission  ${url.searchParams.get('scope')}`)
  say(`\nOpen this address and allow the access:\n\n  ${url.href}\n`)
  if (around.sshLine !== null && settings.listen !== null)
    say(`Your browser is on another machine: run this there first.\n\n  ${around.sshLine(port)}\n`)
  if (settings.listen === 'all')
    say(
      `This computer listens on ${ownAddresses()
        .map((address) => `${address.includes(':') ? `[${address}]` : address}:${port}`)
        .join(', ')}; the browser must call it ${host}.\n`,
    )
  if (isHttps)
    say(
      'Your browser does not know this computer’s certificate: that is expected.\nChoose “Advanced”, then “Proceed to localhost”. It was made for this one answer and is not stored.\n',
    )
  say(
    lines === null
      ? 'Waiting.'
      : `Waiting. If the browser ${settings.listen === null ? 'has ended on another page' : 'cannot reach this machine'}, copy the address it ends on and paste it here:`,
  )
}
