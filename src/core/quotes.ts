const DOUBLE = '"“”„‟«»″＂'
const SINGLE = "'`´‘’‚‛‹›′＇"
const MAX_LAYERS = 4

/**
 * Removes blanks and up to four layers of quotes around the text: docker --env-file and lists in compose.yaml keep quotes
 * as part of a value. The limit bounds the work for a request's header.
 */
export function unquoted(text: string): string {
  let rest = text.trim()
  for (let layer = 0; layer < MAX_LAYERS; layer++) {
    // A quote that was escaped once too often has a backslash before it.
    const start = rest.startsWith('\\') ? 1 : 0
    const [first = '', last = ''] = [rest.charAt(start), rest.slice(start + 1).at(-1)]
    const isPair = [DOUBLE, SINGLE].some((marks) => first !== '' && last !== '' && marks.includes(first) && marks.includes(last))
    if (!isPair) break
    rest = rest
      .slice(start + 1, -1)
      .replace(/\\$/, '')
      .trim()
  }
  return rest
}

/** Splits a list and removes quotes around each entry, around the whole, or both. */
export function unquotedList(text: string): string[] {
  const whole = unquoted(text)
  // “"a","b"” also begins and ends with a quote, but the two belong to different entries.
  const entries = new RegExp(`[${DOUBLE}${SINGLE}]`).test(whole) ? text : whole
  return splitList(entries)
    .map(unquoted)
    .filter((entry) => entry !== '')
}

export function splitList(text: string): string[] {
  return text.split(/[\s,]+/).filter((entry) => entry !== '')
}

/** The first 40 characters, with “?” for all but printable ASCII: safe in an error. */
export function printable(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?').slice(0, 40)
}
