import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from './config/config.ts'
import { explainListen } from './config/network.ts'
import { KeychainError } from './core/errors.ts'
import type { Log } from './core/log.ts'

const RETRY_MS = 5_000

interface Start {
  readonly config: Pick<Config, 'host' | 'port'>
  readonly log: Log
  readonly stopped: AbortSignal
}

/**
 * Opens the agent. While the system's keychain does not give the key, as before a person has signed in, it answers that it is
 * not ready and tries again. Null = it was stopped meanwhile.
 */
export async function openWithKey<T>(open: () => Promise<T>, { config, log, stopped }: Start): Promise<T | null> {
  const since = new Date()
  let close = null as (() => Promise<void>) | null
  try {
    while (!stopped.aborted) {
      try {
        return await open()
      } catch (err) {
        if (!(err instanceof KeychainError)) throw err
        if (close === null) {
          log.warn({ err }, 'the system’s keychain does not give the key yet; trying again')
          close = await answerNotReady(config, { since, message: err.message })
        }
        await sleep(RETRY_MS, undefined, { signal: stopped }).catch(() => undefined)
      }
    }
    return null
  } finally {
    await close?.()
  }
}

/** Answers as the agent does while its store is down. */
async function answerNotReady({ host, port }: Start['config'], store: { since: Date; message: string }): Promise<() => Promise<void>> {
  const server = createServer((request, response) => {
    const isAlive = request.url === '/healthz'
    const body = isAlive
      ? { status: 'ok' }
      : request.url === '/readyz'
        ? { ready: false, parts: { store: { state: 'down', ...store } } }
        : { error: 'unavailable', message: 'The agent waits for the key of its store. Its log says why.' }
    const headers = {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'retry-after': '5',
      connection: 'close',
    }
    response.writeHead(isAlive ? 200 : 503, headers).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(explainListen(error, { host, port })))
    server.listen(port, host, resolve)
  })
  return async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}
