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
  /** The second choice where the server refuses `ssl`; null = none. */
  readonly otherSsl: ConnectionOptions | false | null
}

/**
 * Removes the TLS parameters from the URL and applies them as libpq documents. pg 8 would treat `require` as
 * `verify-full`, which fails with hosted platforms' own certificates, and would print a warning.
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
  const clientCertificate = sslcert && sslkey ? { cert: certificate('sslcert', sslcert), key: certificate('sslkey', sslkey) } : {}
  const withClient = (ssl: ConnectionOptions | false) => (ssl === false ? ssl : { ...ssl, ...clientCertificate })
  const other = mode === 'prefer' ? false : mode === 'allow' ? WITHOUT_VERIFICATION : null
  return { connectionString, ssl: withClient(verification(mode, tls.sslrootcert)), otherSsl: other === null ? null : withClient(other) }
}

function verification(mode: string, rootFile: string | undefined): ConnectionOptions | false {
  // libpq: the system's authorities sign certificates for any name, so with them only `verify-full` verifies anything.
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

/** Fails at the start, not at the first query. The parser's own error is dropped because it quotes the password. */
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
