/** 8 KB: providers ask to expect long tokens, and longer ones would not fit a request line. */
const MAX_LENGTH = 8192

/**
 * Says in words what is wrong with a token, or null where nothing is. A token is visible ASCII: it travels in URLs
 * and headers, and is written into a script.
 */
export function tokenProblem(token: string): string | null {
  if (token === '') return 'is empty'
  if (token.length > MAX_LENGTH) return `is ${token.length} characters long; the longest possible token has ${MAX_LENGTH}`
  if (/^["'“‘].*["'”’]$/s.test(token)) return 'stands in quotes; paste the token without them'
  if (/\s/.test(token)) return 'has a space or a line break in it; paste the token alone, on one line'
  if (!/^[\x21-\x7e]+$/.test(token)) return 'has a character that no token has; copy it again from the provider’s page'
  return null
}
