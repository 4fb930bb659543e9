import type { FastifyInstance } from 'fastify'
import type { AllowList } from '../domain/allow-list.ts'

/** What a page at this origin got when it asked for the token. */
export interface Visit {
  readonly origin: string
  /** It stands for all subdomains of a wildcard. */
  readonly isSample: boolean
  readonly works: boolean
  /** Null where it works. */
  readonly why: string | null
}

const MAX_VISITS = 6

/** Asks for the token by the real route, as a page on each listed site would. The token itself goes no further than this. */
export async function visitAs(app: FastifyInstance, { exact, wildcards }: AllowList): Promise<{ visits: Visit[]; more: number }> {
  const origins = [
    ...[...exact].map((origin) => ({ origin, isSample: false })),
    ...[...wildcards].map((origin) => ({ origin: origin.replace('//', '//www.'), isSample: true })),
  ]
  const visits = await Promise.all(origins.slice(0, MAX_VISITS).map(async (site) => ({ ...site, ...(await visit(app, site.origin)) })))
  return { visits, more: Math.max(0, origins.length - MAX_VISITS) }
}

async function visit(app: FastifyInstance, origin: string): Promise<Pick<Visit, 'works' | 'why'>> {
  const headers = { origin, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }
  const { statusCode, headers: told, body } = await app.inject({ url: '/token.json', headers })
  const answer = JSON.parse(body) as { token?: unknown; message?: unknown }
  if (statusCode === 200 && told['access-control-allow-origin'] === origin && typeof answer.token === 'string')
    return { works: true, why: null }
  return { works: false, why: typeof answer.message === 'string' ? answer.message : `The agent answered ${statusCode}.` }
}
