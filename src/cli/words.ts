/**
 * An argument may be a token, a secret or an address that holds one. Output stays in terminals and CI logs, so an unknown
 * word is repeated only where it is short and plain.
 */

const TOKEN_PREFIXES = /^(?:ig[aq]|eaa|thaa|act\.|rft\.|clt\.)/i
const MAX_PLAIN_LENGTH = 16
/** A change between letter and digit. Hexadecimal and base64 have many, words one or two. */
const LETTER_DIGIT_CHANGE = /[a-z](?=\d)|\d(?=[a-z])/gi
const MIN_SECRET_LENGTH = 16
const MAX_DISTANCE = 2
/** Of commands and accounts. */
const MAX_NAME_LENGTH = 40

/** True for a short word of lower-case letters and inner hyphens without a token's prefix. */
export function isPlain(word: string): boolean {
  return word.length <= MAX_PLAIN_LENGTH && /^[a-z]+(?:-[a-z]+)*$/.test(word) && !TOKEN_PREFIXES.test(word)
}

/** True for a word that looks like a token or a key, so it must not name an account or a constant. */
export function looksSecret(word: string): boolean {
  if (TOKEN_PREFIXES.test(word) || word.length > 64) return true
  return word.length >= MIN_SECRET_LENGTH && (word.match(LETTER_DIGIT_CHANGE)?.length ?? 0) >= 3
}

/** True for an entry of a list of web sites: `www.example.com`, `*.example.com:8443`, `http://localhost`. */
export function looksLikeSite(word: string): boolean {
  const host = /^(?:[a-z][a-z+.-]{0,15}:\/\/)?(?:\*\.)?(\[[0-9a-f:.]+\]|[\p{L}\p{N}\p{M}._-]+)(?::\d+)?\/?$/iu.exec(word)?.[1]
  if (host === undefined) return false
  // A host's name is in lower case and ends in a word; a sealed or signed text with dots is not.
  const isName = /\.[\p{L}-]+$/u.test(host) && host === host.toLowerCase()
  return isName || !looksSecret(host)
}

/** The nearest known word; null = none is near. */
export function nearest(word: string, known: readonly string[]): string | null {
  if (word.length > MAX_NAME_LENGTH + MAX_DISTANCE) return null
  const typed = word.toLowerCase()
  const [best] = known
    .map((one) => ({ one, distance: distance(typed, one) }))
    .filter(({ one, distance }) => distance <= Math.min(MAX_DISTANCE, one.length - 2))
    .sort((a, b) => a.distance - b.distance)
  return best?.one ?? null
}

/** The Damerau–Levenshtein distance: changed, added, omitted and swapped letters. */
function distance(a: string, b: string): number {
  const rows = [[...Array(b.length + 1).keys()]]
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0
  for (let i = 1; i <= a.length; i++) {
    rows.push([i])
    for (let j = 1; j <= b.length; j++) {
      const changed = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      rows[i]?.push(Math.min(changed, at(i - 1, j) + 1, at(i, j - 1) + 1, isSwap ? at(i - 2, j - 2) + 1 : changed))
    }
  }
  return at(a.length, b.length)
}
