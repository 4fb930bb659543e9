import { setTimeout as sleep } from 'node:timers/promises'

/** A browser as far as forms and cookies go: no script, redirects followed by hand. */
export interface Client {
  readonly cookies: Map<string, string>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  head(path: string): Promise<Answer>
  /** Sends a form as the agent's own pages would. */
  post(path: string, form?: Record<string, string>, headers?: Record<string, string>): Promise<Answer>
  /** Comes back as it is told to, while others are looked at first. */
  signIn(password: string): Promise<Answer>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly location: string | null
  readonly text: string
}

const SAME_ORIGIN = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate' }

export function createClient(url: string): Client {
  const cookies = new Map<string, string>()
  async function send(path: string, init: RequestInit): Promise<Answer> {
    const headers = new Headers(init.headers)
    if (cookies.size > 0) headers.set('cookie', [...cookies].map(([name, value]) => `${name}=${value}`).join('; '))
    const response = await fetch(url + path, { ...init, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '' || /expires=Thu, 01 Jan 1970/i.test(line)) cookies.delete(name)
      else cookies.set(name, value)
    }
    const text = await response.text()
    return { status: response.status, headers: response.headers, location: response.headers.get('location'), text }
  }
  const client: Client = {
    cookies,
    get: (path, headers = {}) => send(path, { headers }),
    head: (path) => send(path, { method: 'HEAD' }),
    post: (path, form = {}, headers = SAME_ORIGIN) => send(path, { method: 'POST', body: new URLSearchParams(form), headers }),
    async signIn(password) {
      const untilMs = performance.now() + 60_000
      for (;;) {
        const answer = await client.post('/admin/sign-in', { password })
        if (answer.status !== 429 || performance.now() > untilMs) return answer
        await sleep(Number(answer.headers.get('retry-after')) * 1000)
      }
    },
  }
  return client
}
