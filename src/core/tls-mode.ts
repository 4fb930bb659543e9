const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify']

/**
 * Reads the TLS mode from the parameters of the database's address.
 * https://www.postgresql.org/docs/current/libpq-ssl.html
 */
export function readTlsMode(parameters: URLSearchParams, selfSignedPlatform: boolean): { mode: string; problem: string | null } {
  const rootFile = parameters.get('sslrootcert')
  const byDefault = rootFile ? 'verify-full' : selfSignedPlatform ? 'require' : 'disable'
  const mode = parameters.get('sslmode') || modeOfSsl(parameters.get('ssl')) || byDefault
  if (!MODES.includes(mode)) return { mode, problem: `sslmode must be one of ${MODES.slice(0, -1).join(', ')} or ${MODES.at(-1)}` }
  // Without a root file it would accept any certificate of any public authority, so it would verify nothing.
  if (mode === 'verify-ca' && !rootFile)
    return { mode, problem: 'sslmode=verify-ca needs sslrootcert=<file>; without one use sslmode=verify-full' }
  return { mode, problem: null }
}

function modeOfSsl(ssl: string | null): string | null {
  if (ssl === 'true' || ssl === '1') return 'verify-full'
  return ssl === 'false' || ssl === '0' ? 'disable' : ssl
}
