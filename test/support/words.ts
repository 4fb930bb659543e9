/** A list of strings without blanks, as it is typed: no escapes. */
export const words = ({ raw }: TemplateStringsArray): string[] => raw.join('').trim().split(/\s+/)
