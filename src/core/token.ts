/** Providers warn of long tokens, and a longer one would not fit a request line. */
const MAX_LENGTH = 8192

/**
 * The end of the sentence “The token …”; null = the token is well formed. A token is visible ASCII, because it stands in
 * URLs, headers and scripts.
 */
export function tokenProblem(token: string): string | null {
  if (token === '') return 'is empty'
  if (token.length > MAX_LENGTH) return `is ${token.length} characters long; the longest possible token has ${MAX_LENGTH}`
  if (/^["'“‘].*["'”’]$/s.test(token)) return 'stands in quotes; paste the token without them'
  if (/\s/.test(token)) return 'has a space or a line break in it; paste the token alone, on one line'
  if (!/^[\x21-\x7e]+$/.test(token)) return 'has a character that no token has; copy it again from the provider’s page'
  return null
}
