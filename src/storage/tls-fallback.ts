import type { ConnectionOptions } from 'node:tls'
import pg from 'pg'

type Callback = Parameters<pg.Pool['connect']>[0]
type Ssl = ConnectionOptions | false

/** After this time with the second choice the first is tried again. */
const RECHECK_MS = 300_000
/** Refused by pg_hba.conf, or by a pooler in front of the server. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const REFUSAL_CODES = ['28000', '08P01']
/** Codes of OpenSSL and Node for a connection that ended because of TLS or its absence. */
const TLS_ERROR_CODE = /^(?:ERR_SSL|ERR_TLS|EPROTO|ECONNRESET)/
const NO_TLS = 'The server does not support SSL connections'
const TLS_ERROR_MESSAGE = /^(?:The server does not support SSL|There was an error establishing an SSL|Connection terminated unexpectedly)/

interface Choice {
  readonly ssl: Ssl
  /** By `performance.now()`. */
  readonly until: number
}

export interface FallbackOptions extends pg.PoolConfig {
  readonly ssl: Ssl
  /** The second choice where the server refuses `ssl`; null = none. */
  readonly otherSsl: Ssl | null
}

/**
 * libpq's `prefer` tries TLS first and then without, its `allow` the other way round; pg has neither. A trial connection
 * finds the one that the server accepts, and another trial follows when the server refuses it.
 * https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
 */
export class FallbackPool extends pg.Pool {
  readonly #first: Ssl
  readonly #other: Ssl | null
  #choice: Promise<Choice> | null = null

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
    this.#choice ??= this.#choose(other)
    const used = this.#choice
    try {
      const { ssl, until } = await used
      this.options.ssl = ssl
      if (performance.now() > until && this.#choice === used) this.#choice = null
    } catch (error) {
      if (this.#choice === used) this.#choice = null
      callback(error as Error, undefined, () => {})
      return
    }
    super.connect((error, client, done) => {
      if (error === undefined || !again || !wantsOther(error)) return callback(error, client, done)
      if (this.#choice === used) this.#choice = null
      this.#connect(other, callback, false)
    })
  }

  async #choose(other: Ssl): Promise<Choice> {
    try {
      await this.#try(this.#first)
      return { ssl: this.#first, until: Number.POSITIVE_INFINITY }
    } catch (error) {
      if (!wantsOther(error as Error)) throw error
      // Where TLS was only the second choice, the error of the first says more than “no TLS”.
      await this.#try(other).catch((second: Error) => Promise.reject(second.message === NO_TLS ? error : second))
      return { ssl: other, until: performance.now() + RECHECK_MS }
    }
  }

  async #try(ssl: Ssl): Promise<void> {
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
  return REFUSAL_CODES.includes(code) || TLS_ERROR_CODE.test(code) || TLS_ERROR_MESSAGE.test(error.message)
}
