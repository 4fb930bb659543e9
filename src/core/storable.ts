/** False with U+0000, which Postgres refuses, or half of a surrogate pair, which UTF-8 cannot encode. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}

/** The text with U+FFFD in place of each character that cannot be stored. */
export function storable(text: string): string {
  return isStorable(text) ? text : text.replaceAll('\0', '\ufffd').toWellFormed()
}
