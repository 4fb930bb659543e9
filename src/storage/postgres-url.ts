import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import pg from 'pg'
import { AppError } from '../core/errors.ts'
import { readTlsMode } from '../core/tls-mode.ts'

const TLS_PARAMETERS = ['sslmode', 'ssl', 'sslrootcert', 'sslcert', 'sslkey', 'uselibpqcompat'] as const
const WITHOUT_VERIFICATION: ConnectionOptions = { rejectUnauthorized: false }

export interface PostgresTarget {
  readonly connectionString: string
  readonly ssl: ConnectionOptions | false
  /** For a server that does not want `ssl`; null = then there is no connection. */
  readonly otherSsl: ConnectionOptions | false | null
}

/**
 * Takes the TLS parameters out of the URL and gives them the meaning that libpq documents. pg 8 would take `require`
 * for `verify-full`, which no hosted platform's own certificate passes, and print a warning about it.
 * https://www.postgresql.org/docs/current/libpq-ssl.html
 */
export function readPostgresUrl(url: string, selfSignedPlatform = false): PostgresTarget {
  const [base = '', query = ''] = url.split(/\?(.*)/s)
  const parameters = new URLSearchParams(query)
  const { mode, problem } = readTlsMode(parameters, selfSignedPlatform)
  const tls: Partial<Record<(typeof TLS_PARAMETERS)[number], string>> = {}
  for (const name of TLS_PARAMETERS) {
    const value = parameters.get(name)
    if (value) tls[name] = value
    parameters.delete(name)
  }
  const connectionString = parameters.size > 0 ? `${base}?${parameters}` : base
  refuseUnreadable(connectionString)

  if (problem !== null) throw new AppError('invalid', `DATABASE_URL: ${problem}.`)
  const { sslcert, sslkey } = tls
  const shown = sslcert && sslkey ? { cert: certificate('sslcert', sslcert), key: certificate('sslkey', sslkey) } : {}
  const withShown = (ssl: ConnectionOptions | false) => (ssl === false ? ssl : { ...ssl, ...shown })
  const other = mode === 'prefer' ? false : mode === 'allow' ? WITHOUT_VERIFICATION : null
  return { connectionString, ssl: withShown(verification(mode, tls.sslrootcert)), otherSsl: other === null ? null : withShown(other) }
}

function verification(mode: string, rootFile: string | undefined): ConnectionOptions | false {
  // libpq: the system's authorities vouch for every name there is, so only `verify-full` makes sense with them.
  const system = rootFile === 'system' && (mode === 'require' || mode === 'verify-ca')
  const roots: ConnectionOptions = rootFile && rootFile !== 'system' ? { ca: certificate('sslrootcert', rootFile) } : {}
  switch (system ? 'verify-full' : mode) {
    case 'disable':
    case 'allow':
      return false
    case 'prefer':
    case 'no-verify':
      return WITHOUT_VERIFICATION
    case 'require':
      // libpq: with a root certificate `require` is `verify-ca`.
      return rootFile ? { ...roots, checkServerIdentity: anyName } : WITHOUT_VERIFICATION
    case 'verify-ca':
      return { ...roots, checkServerIdentity: anyName }
    default:
      return roots
  }
}

function anyName(): undefined {}

function certificate(parameter: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch {
    throw new AppError(
      'invalid',
      `DATABASE_URL: ${parameter} names the file ${file}, which cannot be read; correct the path or its rights.`,
    )
  }
}

/** Now, not at the first query; and without the parser's own error, which quotes the password. */
function refuseUnreadable(connectionString: string): void {
  try {
    new pg.Client({ connectionString, ssl: true })
  } catch {
    throw new AppError(
      'invalid',
      'DATABASE_URL cannot be read. It looks like postgres://user:password@host:5432/name; in the password write special characters by their code: # as %23, / as %2F, @ as %40, % as %25.',
    )
  }
}
