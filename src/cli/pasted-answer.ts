import { unquoted } from '../core/quotes.ts'

/** What a provider's callback brings, from an address or a pasted code. */
export interface Answer {
  readonly code?: string | undefined
  /** Undefined where only a code was pasted. */
  readonly state?: string | undefined
  readonly error?: string | undefined
  readonly errorDescription?: string | undefined
  readonly scopes?: string | undefined
}

export type PastedAnswer = { readonly answer: Answer; readonly problem: null } | { readonly answer: null; readonly problem: string }

interface Expected {
  /** The address that the provider sends the person back to. */
  readonly redirectUri: string
  /** The origin and path of the page where the person approves; null = unknown. */
  readonly authorizePage: string | null
  /** The variable whose secret stands in the text; null = none. */
  readonly secretIn: (text: string) => string | null
}

const MAX_CHARACTERS = 8_192
const TOKEN = /^(?:IG[A-Z]{2}|EAA|TH[A-Z]{2}|(?:act|rft|clt)\.)/
/** A code, perhaps percent-encoded. */
const CODE = /^[\w.!~*'()%+/-]+=*$/

/**
 * Reads the whole address, its parameters, `code=…` or the bare code. `problem` is a sentence that never repeats the text.
 */
export function readPastedAnswer(pasted: string, expected: Expected): PastedAnswer {
  // Chats and documents add invisible characters, and terminals break long lines.
  const text = unquoted(pasted.replace(/\p{Cf}/gu, '').trim())
    .replace(/^<(.*)>$/s, '$1')
    .trim()
  if (text === '') return problem('Nothing was pasted.')
  if (text.length > MAX_CHARACTERS) return problem('This is far too long for an address or a code.')
  const variable = expected.secretIn(text)
  if (variable !== null) return problem(`This is the value of ${variable}, or holds it. Nothing was sent.`)
  if (/\s/.test(text)) return problem('There is a blank or a line break in it: copy the address once more, in one piece.')
  const address = addressIn(text, expected.redirectUri)
  if (address !== null) return fromAddress(address, expected)
  if (/^(?:[?&]|[\w-]+=)/.test(text) && /(?:^|[?&])(?:code|error)=/.test(text)) return fromParams(new URLSearchParams(withoutTail(text)))
  if (TOKEN.test(text)) return problem('This is a token, not the answer to this request: give it to the command seed.')
  const code = CODE.test(withoutTail(text)) ? decoded(withoutTail(text)) : null
  if (code === null) return problem('This is neither an address nor a code: copy the whole address of the page where the browser ended.')
  return { answer: { code }, problem: null }
}

/** Browsers hide the scheme. */
function addressIn(text: string, redirectUri: string): URL | null {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return URL.parse(text) ?? new URL('invalid:')
  const { host, protocol } = new URL(redirectUri)
  return text.startsWith(`${host}/`) ? URL.parse(`${protocol}//${text}`) : null
}

function fromAddress(address: URL, { redirectUri, authorizePage }: Expected): PastedAnswer {
  const page = address.origin + address.pathname
  if (page === authorizePage)
    return problem('This is the address to open. Paste the one where the browser ends after you have allowed the access.')
  const expected = new URL(redirectUri)
  if (address.username !== '' || address.password !== '' || page !== expected.origin + expected.pathname)
    return problem(`The address must begin with ${redirectUri}: paste the one where the browser ended.`)
  return fromParams(address.searchParams)
}

function fromParams(params: URLSearchParams): PastedAnswer {
  const only = (name: string): string | undefined => {
    const [value, ...others] = params.getAll(name)
    return others.length === 0 ? value : undefined
  }
  const code = only('code')
  const answer = { state: only('state'), error: only('error'), errorDescription: only('error_description'), scopes: only('scopes') }
  if (answer.error === undefined && (code === undefined || code === ''))
    return problem('There is no code in it: copy the whole address of the page where the browser ended.')
  return { answer: { ...answer, code: code === undefined ? undefined : withoutTail(code) }, problem: null }
}

/** The answer in the callback's own address. */
export function answerIn(url: URL): Answer {
  return fromParams(url.searchParams).answer ?? {}
}

const problem = (sentence: string): PastedAnswer => ({ answer: null, problem: sentence })
/** Meta appends #_ or #_=_ to its addresses. */
const withoutTail = (text: string): string => text.replace(/#_(?:=_)?$/, '')

/** Decoded once; null where that is impossible. */
function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
