/** Postgres keeps no U+0000, and half of a surrogate pair is no character in UTF-8. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}

/** The same text with the sign for “no character” in place of what cannot be kept. */
export function storable(text: string): string {
  return isStorable(text) ? text : text.replaceAll('\0', '\ufffd').toWellFormed()
}
