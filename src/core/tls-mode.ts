const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify']

/**
 * How far the database's server is to be trusted, by the parameters of its address, and what is wrong with them.
 * https://www.postgresql.org/docs/current/libpq-ssl.html
 */
export function readTlsMode(parameters: URLSearchParams, selfSignedPlatform: boolean): { mode: string; problem: string | null } {
  const rootFile = parameters.get('sslrootcert')
  const unsaid = rootFile ? 'verify-full' : selfSignedPlatform ? 'require' : 'disable'
  const mode = parameters.get('sslmode') || modeOfSsl(parameters.get('ssl')) || unsaid
  if (!MODES.includes(mode)) return { mode, problem: `sslmode must be one of ${MODES.slice(0, -1).join(', ')} or ${MODES.at(-1)}` }
  // Any name on a certificate of any public authority would do: that verifies nothing.
  if (mode === 'verify-ca' && !rootFile)
    return { mode, problem: 'sslmode=verify-ca needs sslrootcert=<file>; without one use sslmode=verify-full' }
  return { mode, problem: null }
}

function modeOfSsl(ssl: string | null): string | null {
  if (ssl === 'true' || ssl === '1') return 'verify-full'
  return ssl === 'false' || ssl === '0' ? 'disable' : ssl
}
