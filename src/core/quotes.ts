const DOUBLE = '"“”„‟«»″＂'
const SINGLE = "'`´‘’‚‛‹›′＇"
const MAX_LAYERS = 4

/**
 * The text without blanks and quotes around it, in a few layers. docker --env-file and lists in compose.yaml keep quotes as
 * part of a value. Costs the same for whatever a stranger sends.
 */
export function unquoted(text: string): string {
  let rest = text.trim()
  for (let layer = 0; layer < MAX_LAYERS; layer++) {
    // A backslash stands before a quote that was escaped once too often.
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

/** The entries of a list, with quotes around each, around all, or both. */
export function unquotedList(text: string): string[] {
  const whole = unquoted(text)
  // “"a","b"” begins and ends with a quote too, but these are of two entries.
  const entries = new RegExp(`[${DOUBLE}${SINGLE}]`).test(whole) ? text : whole
  return splitList(entries)
    .map(unquoted)
    .filter((entry) => entry !== '')
}

export function splitList(text: string): string[] {
  return text.split(/[\s,]+/).filter((entry) => entry !== '')
}

/** What was typed, short and harmless enough to show in an error. */
export function printable(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?').slice(0, 40)
}
