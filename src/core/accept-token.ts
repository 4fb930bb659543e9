import { AppError } from './errors.ts'
import { readPastedToken } from './pasted-token.ts'
import type { Provider } from './provider.ts'
import { Secret } from './secret.ts'

/** The secrets of the configuration, by the names of their variables; never their values. */
export interface SecretNames {
  /** Of the secret that the text is, holds, or is a piece of; null = none. */
  nameIn(text: string): string | null
  /** Of the secret that the text is, where that cannot be chance. */
  nameOf(text: string): string | null
}

/** The token in what was pasted. Throws an AppError before anything of it is stored or sent where it is none, or a secret. */
export function acceptToken(secrets: SecretNames, provider: Pick<Provider, 'mistakes'>, pasted: Secret): Secret {
  const { token, problem } = readPastedToken(pasted.reveal(), provider.mistakes)
  const name = secrets.nameIn(pasted.reveal()) ?? (token === null ? null : secrets.nameIn(token))
  if (name !== null) {
    throw new AppError(
      'invalid',
      `This is the value of ${name}, or holds it, and is no token; nothing was stored or sent. Paste the access token alone, as the provider’s dashboard shows it.`,
    )
  }
  if (token === null) throw new AppError('invalid', `The token ${problem}.`)
  return new Secret(token)
}

/** Throws where a secret of the configuration was typed into a field whose value everybody can read. */
export function refuseSecret(secrets: SecretNames, typed: string): void {
  const name = secrets.nameOf(typed)
  if (name !== null) throw new AppError('invalid', `This is the value of ${name}, which everybody could read here. Nothing was saved.`)
}
