import type { Mistake } from './provider.ts'
import { unquoted } from './quotes.ts'
import { tokenProblem } from './token.ts'

export type PastedToken = { readonly token: string; readonly problem: null } | { readonly token: null; readonly problem: string }

const QUOTES = '\\\\"\'`“”„‘’‚«»‹›'
const AFTER_NAME = `[${QUOTES}\\]]*\\s*(?:=>|[=:])\\s*[${QUOTES}]*(?:(?:Bearer|OAuth)\\s+[${QUOTES}]*|(?!Basic\\b))`
const END = `\\s&#,;<>{}()\\[\\]${QUOTES}`
// Prose has short words after “token:” too, so a token without a known prefix has 16 characters or more.
const VALUE = `((?-i:IG|EA|TH)[^${END}]*|[^${END}]{16,})`
/** Tried in order until one finds a token. */
const SHAPES: readonly RegExp[] = [
  new RegExp(`access[_-]?token${AFTER_NAME}${VALUE}`, 'gi'),
  new RegExp(`\\bBearer\\s+[${QUOTES}]*${VALUE}`, 'gi'),
  new RegExp(`\\bauthorization${AFTER_NAME}${VALUE}`, 'gi'),
  // STARTING_TOKEN=, token:, IG_TOKEN =>; but no refresh token and no form's token.
  new RegExp(`(?<!refresh[_-]?|client[_-]?|csrf[_-]?|xsrf[_-]?|id[_-]|verify[_-]?)token${AFTER_NAME}${VALUE}`, 'gi'),
  new RegExp(`(?<=^|[${END}.:=/|])((?:IG|TH)[A-Z]{2}[\\w-]{20,})(?=[.:?!]?(?:[${END}]|$))`, 'g'),
  new RegExp(`(?<=^|[${END}.:=/|])(EAA[\\w-]{20,})(?=[.:?!]?(?:[${END}]|$))`, 'g'),
]
const PLAIN = /^[\w.~+/|-]+=*$/
const ADDRESS = /^(?:[a-z][a-z0-9+.-]*:\/\/|www\.)/i

/**
 * Finds the only token in the pasted text: alone, in quotes, as `access_token=…`, in an address, in JSON, in a header or
 * in a command. `problem` completes the sentence “The token …” and never repeats the pasted text.
 */
export function readPastedToken(pasted: string, mistakes: readonly Mistake[]): PastedToken {
  // Chats and documents add invisible characters.
  const text = unquoted(pasted.replace(/\p{Cf}/gu, '')).replace(/[;,]+$/, '')
  const found = PLAIN.test(text) ? new Set([text]) : tokensIn(text)
  const [token = text] = found
  const problem =
    found.size > 1
      ? 'stands beside another one in this text; paste one token alone'
      : (shapeProblem(token) ?? mistakes.find(([shape]) => shape.test(token))?.[1] ?? tokenProblem(token))
  return problem === null ? { token, problem } : { token: null, problem }
}

function tokensIn(text: string): Set<string> {
  // An address may itself be a parameter of an address.
  for (const spelling of [text, decoded(text)]) {
    for (const shape of SHAPES) {
      const found = new Set([...spelling.matchAll(shape)].map(([, value = '']) => decoded(value)))
      if (found.size > 0) return found
    }
  }
  return new Set()
}

function shapeProblem(text: string): string | null {
  if (ADDRESS.test(text)) {
    return /[?&#]code=/.test(text)
      ? 'is an address with an authorization code, which works once and is not a token; connect the account in the browser instead'
      : 'is an address with no token in it; paste the token itself'
  }
  if (/^[{[]/.test(text)) return 'is not in this JSON: no field is called access_token; paste the token alone'
  if (/\.\.\.|…/.test(text)) return 'was shortened where it was copied (it has dots); copy the whole token'
  if (/^[A-Za-z_]\w*\s*[=:]\s*[^=\s]/.test(text)) return 'is not in this text, only another setting or field; paste the token alone'
  return null
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
