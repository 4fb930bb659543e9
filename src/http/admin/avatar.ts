// Made at first use: it takes milliseconds, and a read of a token needs none.
let letters: Intl.Segmenter | undefined

/** White text is readable on each, in light and dark mode. */
const COLOURS = ['#4a4fc0', '#8a3a78', '#1b6a5c', '#9a4618', '#2b6299', '#5f5a1b']

/** An SVG avatar for an account without a picture: the first letter of `displayName`, on the account's colour. */
export function drawLetter(account: string, displayName: string): string {
  const letter = initialOf(displayName).replace(/[&<>]/g, (char) => `&#${char.codePointAt(0)};`)
  return `<svg xmlns="http://www.w3.org/2000/svg" width="44" height="44" viewBox="0 0 44 44"><rect width="44" height="44" fill="${colourOf(account)}"/><text x="22" y="22" fill="#fff" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif" font-size="20" font-weight="650" text-anchor="middle" dominant-baseline="central">${letter}</text></svg>`
}

/** The first grapheme of a name, in upper case: an emoji or an accented letter counts as one. */
export function initialOf(name: string): string {
  letters ??= new Intl.Segmenter('en', { granularity: 'grapheme' })
  const [first] = letters.segment(name.trim())
  // XML cannot hold these characters.
  if (first === undefined || /[\p{Cc}\p{Cs}\ufffe\uffff]/u.test(first.segment)) return '?'
  return first.segment.toLocaleUpperCase('en')
}

/** The same name always gets the same colour. */
function colourOf(name: string): string {
  let sum = 0
  for (const char of name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973
  return COLOURS[sum % COLOURS.length] ?? ''
}
