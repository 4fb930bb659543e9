/** The command was not understood. */
export class UsageError extends Error {}

export const NO_ACCOUNT = 'There is no account yet; store a token with: npx token-agent seed'

export function print(text: string, code = 0): number {
  process.stdout.write(`${text}\n`)
  return code
}

export function when(instant: Date | null): string {
  return instant === null ? 'not known yet' : `${instant.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
