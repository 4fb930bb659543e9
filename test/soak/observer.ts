import { Agent as Connections, get } from 'node:http'
import { READS, SECRETS } from '../faults/installation.ts'
import type { Agent } from '../support/agent.ts'
import type { Instagram } from '../support/instagram.ts'

/** One process, with what an observer outside it has seen. */
export interface Instance {
  readonly agent: Agent
  /** The accounts whose token it has served; from then on it must always serve them. */
  readonly warm: Set<string>
  /** Stopping or killed: a missing answer is no violation any more. */
  leaving: boolean
}

export interface Observations {
  served: number
  /** Refused by a process that had not seen the account yet, while neither store nor Memcached answered. */
  cold: number
  /** Cut off because the process was killed or stopped. */
  cutOff: number
  looks: number
  readonly violations: string[]
}

const GIVE_UP_MS = 20_000
const TOKEN = /IGAA[\w-]{20,}/

export function createObserver(instagram: Instagram, owners: ReadonlyMap<string, string>, present: () => readonly string[]) {
  const seen: Observations = { served: 0, cold: 0, cutOff: 0, looks: 0, violations: [] }
  const connections = new Connections({ keepAlive: true })
  const names = [...owners.keys()]
  const violated = (what: string): void => {
    const faults = present()
    seen.violations.push(faults.length === 0 ? what : `${what} (during: ${faults.join(', ')})`)
  }

  function fetchFrom(instance: Instance, path: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const request = get(instance.agent.url + path, { agent: connections, headers, timeout: GIVE_UP_MS }, (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body })).on('error', reject)
      })
      request.on('timeout', () => request.destroy(new Error(`no answer in ${GIVE_UP_MS} ms`))).on('error', reject)
    })
  }

  return {
    seen,
    violated,
    /** Reads an account and checks the token against the provider's records. */
    async read(instance: Instance): Promise<void> {
      const name = names[Math.floor(Math.random() * names.length)] ?? ''
      const askedAt = instagram.clock.now()
      const wasWarm = instance.warm.has(name)
      try {
        const { status, body } = await fetchFrom(instance, `/accounts/${name}/token`, READS)
        if (status === 200) {
          seen.served++
          instance.warm.add(name)
          const held = instagram.issued.get(body)
          if (held === undefined || held.userId !== owners.get(name)) violated(`${name} was served a token that is not its own`)
          else if (held.expiresAt < askedAt - 1_000) violated(`${name} was served an expired token`)
        } else if (wasWarm || status !== 503) violated(`${name} was answered ${status} by a process that had served it: ${body.trim()}`)
        else seen.cold++
        if (status !== 200) this.searchForSecrets('an answer', body)
      } catch (error) {
        if (instance.leaving) seen.cutOff++
        else violated(`a read of ${name} failed: ${(error as Error).message}`)
      }
    },
    /** Fetches public pages, and metrics with a key, and searches them for secrets. */
    async look(instance: Instance): Promise<void> {
      const metrics = { authorization: `Bearer ${SECRETS.METRICS_KEY}` }
      for (const [path, headers] of [
        ['/readyz', {}],
        ['/status', {}],
        ['/metrics', metrics],
        ['/token', { origin: 'https://evil.example' }],
      ] as const) {
        const answer = await fetchFrom(instance, path, headers).catch(() => null)
        if (answer === null) continue
        seen.looks++
        this.searchForSecrets(path, answer.body)
      }
    },
    searchForSecrets(where: string, text: string): void {
      if (TOKEN.test(text)) violated(`a token stands in ${where}`)
      for (const [name, secret] of Object.entries(SECRETS)) if (text.includes(secret)) violated(`${name} stands in ${where}`)
    },
    close: () => connections.destroy(),
  }
}
