/**
 * What is typed on a command line may be a token, a secret or an address with one in it, and what is printed stays in the
 * terminal's record and in the logs of CI. So a word that is not known is repeated only where it is short and plain.
 */

const TOKEN_BEGINNINGS = /^(?:ig[aq]|eaa|thaa|act\.|rft\.|clt\.)/i
const MAX_PLAIN_LENGTH = 16
/** A change from letter to digit or back: hexadecimal and base64 are full of them, words have one or two. */
const CHANGE = /[a-z](?=\d)|\d(?=[a-z])/gi
const MIN_SECRET_LENGTH = 16
const SUGGESTED_WITHIN = 2

/** A short word of lower-case letters and inner hyphens that begins like no token. */
export function isPlain(word: string): boolean {
  return word.length <= MAX_PLAIN_LENGTH && /^[a-z]+(?:-[a-z]+)*$/.test(word) && !TOKEN_BEGINNINGS.test(word)
}

/** Looks like a token or a key, so that it is nothing to name an account or a constant by. */
export function looksSecret(word: string): boolean {
  if (TOKEN_BEGINNINGS.test(word) || word.length > 64) return true
  return word.length >= MIN_SECRET_LENGTH && (word.match(CHANGE)?.length ?? 0) >= 3
}

/** Such as `www.example.com`, `*.example.com:8443` or `http://localhost`: what a list of web sites may have. */
export function looksLikeSite(word: string): boolean {
  const host = /^(?:[a-z][a-z+.-]{0,15}:\/\/)?(?:\*\.)?(\[[0-9a-f:.]+\]|[\p{L}\p{N}\p{M}._-]+)(?::\d+)?\/?$/iu.exec(word)?.[1]
  if (host === undefined) return false
  // Names of hosts are written in small letters and end in a word; a sealed or signed text with dots in it is not.
  const isName = /\.[\p{L}-]+$/u.test(host) && host === host.toLowerCase()
  return isName || !looksSecret(host)
}

/** The known word that was probably meant, or null. */
export function nearest(word: string, known: readonly string[]): string | null {
  if (word.length > MAX_PLAIN_LENGTH + SUGGESTED_WITHIN) return null
  const typed = word.toLowerCase()
  const [best] = known
    .map((one) => ({ one, distance: distance(typed, one) }))
    .filter((found) => found.distance <= Math.min(SUGGESTED_WITHIN, found.one.length - 2))
    .sort((a, b) => a.distance - b.distance)
  return best?.one ?? null
}

/** How many letters have to be changed, added, left out or exchanged with their neighbour. */
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
