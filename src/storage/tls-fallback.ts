import type { ConnectionOptions } from 'node:tls'
import pg from 'pg'

type Callback = Parameters<pg.Pool['connect']>[0]
type Ssl = ConnectionOptions | false

/** How long the second choice is kept where the first may have come back. */
const RECHECK_MS = 300_000
/** Refused by pg_hba.conf, or by a pooler in front of the server. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const REFUSED_SO = ['28000', '08P01']
/** A connection that TLS, or the lack of it, has ended; the codes of OpenSSL and Node begin so. */
const ENDED_SO = /^(?:ERR_SSL|ERR_TLS|EPROTO|ECONNRESET)/
const NO_TLS = 'The server does not support SSL connections'
const SAID_SO = /^(?:The server does not support SSL|There was an error establishing an SSL|Connection terminated unexpectedly)/

interface Found {
  readonly ssl: Ssl
  /** By `performance.now()`. */
  readonly until: number
}

export interface FallbackOptions extends pg.PoolConfig {
  readonly ssl: Ssl
  /** What is tried next where the server does not want the first; null = nothing. */
  readonly otherSsl: Ssl | null
}

/**
 * libpq's `prefer` tries TLS first and then without, its `allow` the other way round; pg has neither. Which one the server
 * takes is found out by a connection of its own, and again when it takes that one no more.
 * https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
 */
export class FallbackPool extends pg.Pool {
  readonly #first: Ssl
  readonly #other: Ssl | null
  #found: Promise<Found> | null = null

  constructor({ otherSsl, ...options }: FallbackOptions) {
    super(options)
    this.#first = options.ssl
    this.#other = otherSsl
  }

  override connect(): Promise<pg.PoolClient>
  override connect(callback: Callback): void
  override connect(callback?: Callback): Promise<pg.PoolClient> | undefined {
    if (callback === undefined)
      return new Promise((resolve, reject) => this.connect((error, client) => (client ? resolve(client) : reject(error))))
    if (this.#other === null) super.connect(callback)
    else this.#connect(this.#other, callback, true)
    return undefined
  }

  async #connect(other: Ssl, callback: Callback, again: boolean): Promise<void> {
    this.#found ??= this.#find(other)
    const used = this.#found
    try {
      const { ssl, until } = await used
      this.options.ssl = ssl
      if (performance.now() > until && this.#found === used) this.#found = null
    } catch (error) {
      if (this.#found === used) this.#found = null
      callback(error as Error, undefined, () => {})
      return
    }
    super.connect((error, client, done) => {
      if (error === undefined || !again || !wantsOther(error)) return callback(error, client, done)
      if (this.#found === used) this.#found = null
      this.#connect(other, callback, false)
    })
  }

  async #find(other: Ssl): Promise<Found> {
    try {
      await this.#tryOut(this.#first)
      return { ssl: this.#first, until: Number.POSITIVE_INFINITY }
    } catch (error) {
      if (!wantsOther(error as Error)) throw error
      // That there is no TLS is no news where it was only the second choice.
      await this.#tryOut(other).catch((second: Error) => Promise.reject(second.message === NO_TLS ? error : second))
      return { ssl: other, until: performance.now() + RECHECK_MS }
    }
  }

  async #tryOut(ssl: Ssl): Promise<void> {
    const client = new pg.Client({ ...this.options, ssl })
    client.on('error', () => {})
    try {
      await client.connect()
    } finally {
      client.end().catch(() => {})
    }
  }
}

function wantsOther(error: Error & { code?: unknown }): boolean {
  const code = typeof error.code === 'string' ? error.code : ''
  return REFUSED_SO.includes(code) || ENDED_SO.test(code) || SAID_SO.test(error.message)
}
