import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { binary } from './services.ts'

export interface Chain {
  caFile: string
  /** The server's certificate followed by the authority's. */
  chainFile: string
  keyFile: string
}

/** A certificate for the given hosts and 127.0.0.1, signed by an untrusted authority. */
export function selfSignedChain(folder: string, hosts: string[]): Chain {
  const openssl = (...args: string[]) => execFileSync(binary('openssl'), args, { cwd: folder, stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=Test authority', '-keyout', 'ca.key', '-out', 'ca.crt')
  openssl('req', ...newKey, '-subj', `/CN=${hosts[0]}`, '-keyout', 'server.key', '-out', 'server.csr')
  writeFileSync(join(folder, 'names'), `subjectAltName=${[...hosts.map((host) => `DNS:${host}`), 'IP:127.0.0.1'].join(',')}`)
  const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names']
  openssl('x509', '-req', '-in', 'server.csr', ...signed, '-out', 'server.crt')
  const file = (name: string) => join(folder, name)
  writeFileSync(file('chain.crt'), readFileSync(file('server.crt'), 'utf8') + readFileSync(file('ca.crt'), 'utf8'))
  return { caFile: file('ca.crt'), chainFile: file('chain.crt'), keyFile: file('server.key') }
}
