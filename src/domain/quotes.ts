const DOUBLE = '"“”„‟«»″＂'
const SINGLE = "'`´‘’‚‛‹›′＇"
// A backslash stands before a quote that was escaped once too often.
const IN_QUOTES = new RegExp(`^\\\\?(?:[${DOUBLE}]([^]*?)\\\\?[${DOUBLE}]|[${SINGLE}]([^]*?)\\\\?[${SINGLE}])$`)

/** The text without blanks and quotes around it, however many. docker --env-file and lists in compose.yaml keep quotes as part of a value. */
export function unquoted(text: string): string {
  for (let rest = text.trim(); ; ) {
    const [, double, single] = IN_QUOTES.exec(rest) ?? []
    const inner = double ?? single
    if (inner === undefined) return rest
    rest = inner.trim()
  }
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
