import { AppError } from './errors.ts'
import { readPastedToken } from './pasted-token.ts'
import type { Provider } from './provider.ts'
import { Secret } from './secret.ts'

/** The secrets of the configuration, by the names of their variables; never their values. */
export interface SecretNames {
  /** The variable whose secret equals, contains or is contained in the text; null = none. */
  nameIn(text: string): string | null
  /** The variable whose secret equals the text, where chance is ruled out; null = none. */
  nameOf(text: string): string | null
}

/** Returns the token in the pasted text. Throws an AppError where the text has no token or holds a secret; nothing is stored or sent. */
export function acceptToken(secrets: SecretNames, provider: Pick<Provider, 'mistakes'>, pasted: Secret): Secret {
  const { token, problem } = readPastedToken(pasted.reveal(), provider.mistakes)
  const name = secrets.nameIn(pasted.reveal()) ?? (token === null ? null : secrets.nameIn(token))
  if (name !== null) {
    throw new AppError(
      'invalid',
      `This is the value of ${name}, or contains it, and is no token. Nothing was stored or sent. Paste the access token alone, as the provider’s dashboard shows it.`,
    )
  }
  if (token === null) throw new AppError('invalid', `The token ${problem}.`)
  return new Secret(token)
}

/** Throws where a secret of the configuration was typed into a field whose value is public. */
export function refuseSecret(secrets: SecretNames, text: string): void {
  const name = secrets.nameOf(text)
  if (name !== null)
    throw new AppError('invalid', `This is the value of ${name}, and this field is public. Nothing was saved. Type another value.`)
}
