import { AppError } from '../domain/errors.ts'

const REFUSED_SIGN_IN = 'The database refuses the user or the password: check both in DATABASE_URL.'
const SILENT = 'The database does not answer: check that it runs and that DATABASE_URL names its host and port.'
const UNTRUSTED =
  'The database’s certificate is not trusted: give its authority’s file in DATABASE_URL (sslrootcert=…), or use sslmode=require.'

/** https://www.postgresql.org/docs/current/errcodes-appendix.html, and the codes of Node's sockets. */
const SENTENCES: Record<string, string> = {
  '28P01': REFUSED_SIGN_IN,
  '28000': REFUSED_SIGN_IN,
  '3D000': 'The database that DATABASE_URL names does not exist on its server: create it, or correct the name.',
  '25006': 'The database is read-only at the moment: it may be a replica, or full. Point DATABASE_URL at the primary server.',
  '53100': 'The database’s disk is full: make room on it.',
  '53300': 'The database has no connection left: close other clients, or raise its connection limit.',
  '42501': 'The database user may not do this: make it the owner of the database that DATABASE_URL names.',
  ENOTFOUND: 'The database’s host name is not known: check the host in DATABASE_URL.',
  EAI_AGAIN: 'The database’s host name cannot be looked up at the moment: check the network and the host in DATABASE_URL.',
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  ERR_TLS_CERT_ALTNAME_INVALID:
    'The database’s certificate is for another host: use the name it was made for in DATABASE_URL, or sslmode=verify-ca.',
  CERT_HAS_EXPIRED: 'The database’s certificate has expired: renew it on the server.',
}

/** 22 wrong value, 23 violated constraint, 42 wrong SQL: a mistake of ours, not a fault of the database. */
const OUR_MISTAKE = /^(?:22|23|42)[0-9A-Z]{3}$/

/** Whatever keeps the database from answering becomes `unavailable`, with a sentence for the operator; the rest stays as it is. */
export function explainPostgres(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof AppError) return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const sentence = SENTENCES[code]
  if (code === '28000' && error.message.includes('no encryption'))
    return unavailable('The database wants an encrypted connection: add ?sslmode=require to DATABASE_URL.', error)
  if (sentence !== undefined) return unavailable(sentence, error)
  if (OUR_MISTAKE.test(code)) return error
  if (error.message === 'The server does not support SSL connections')
    return unavailable('The database does not speak TLS: switch it on there, or write sslmode=disable in DATABASE_URL.', error)
  // What is left with a code comes from the server, a socket or TLS; pg's own errors about a lost or slow connection have none.
  const lost = /^(?:Connection terminated|Query read timeout|timeout exceeded|Client has encountered|Cannot use a pool)/.test(error.message)
  return code !== '' || lost ? unavailable(SILENT, error) : error
}

function unavailable(sentence: string, cause: Error): AppError {
  return new AppError('unavailable', sentence, { cause })
}
