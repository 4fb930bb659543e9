// Made at first use: it takes milliseconds, and a read of a token needs none.
const relative = once(() => new Intl.RelativeTimeFormat('en', { numeric: 'always' }))
const calendar = once(() => new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' }))
const day = once(() => new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' }))

const UNITS: readonly (readonly [unit: Intl.RelativeTimeFormatUnit, seconds: number, from: number])[] = [
  ['year', 365 * 86_400, 2 * 365 * 86_400],
  ['month', 30.44 * 86_400, 90 * 86_400],
  ['day', 86_400, 2 * 86_400],
  ['hour', 3600, 2 * 3600],
  ['minute', 60, 55],
]

/** Such as “in 3 days” or “2 hours ago”. */
function inWords(at: Date, now: Date): string {
  const seconds = (at.getTime() - now.getTime()) / 1000
  const [unit, length] = UNITS.find(([, , from]) => Math.abs(seconds) >= from) ?? []
  if (unit === undefined || length === undefined) return seconds > 0 ? 'within a minute' : 'just now'
  return relative().format(Math.round(seconds / length), unit)
}

/** An instant that has passed is due at the next tick. */
function dueInWords(at: Date, now: Date): string {
  return at <= now ? 'within a minute' : inWords(at, now)
}

function inUtc(at: Date): string {
  return `${calendar().format(at)} UTC`
}

function dayInUtc(at: Date): string {
  return day().format(at)
}

/** Replaces ISO instants in a text from the history by days. Invalid ones, such as in a host name, stay. */
function plain(text: string): string {
  return text.replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z\b/g, (written) => {
    const at = new Date(written)
    return Number.isNaN(at.getTime()) ? written : dayInUtc(at)
  })
}

/** Formats of time for the templates. */
export const words = { inWords, dueInWords, inUtc, dayInUtc, plain }

function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}
