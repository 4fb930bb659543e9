import { decideRead } from '../../reading/decide-read.ts'
import type { Snapshot } from '../../reading/snapshot.ts'
import { refusalSentence, serversOnlySentence } from '../token/refusal-sentence.ts'
import type { TokenReading } from '../token/token-routes.ts'

/** The result of a trial read as a page of this origin. */
export interface Visit {
  readonly origin: string
  /** A sample subdomain of a wildcard. */
  readonly isSample: boolean
  readonly works: boolean
  /** Null if it works. */
  readonly why: string | null
}

/** `peek` reads without being counted. */
export type TrialReading = Pick<TokenReading, 'allowList' | 'isServerKey'> & {
  readonly peek: (account: string | null) => Promise<Snapshot>
}

const MAX_VISITS = 6

/**
 * Tries a read as a page of each listed site, with the decision and snapshot of a real read; not counted. A refusal ends with
 * `remedy` in place of “Is this your site?”, which names this very page.
 */
export function visitAs(
  reading: TrialReading,
  appUrl: string,
  found: Snapshot | null,
  remedy = 'Step 3 says what to do.',
): { visits: Visit[]; more: number } {
  const own = found?.allowList ?? null
  const list = own ?? reading.allowList
  const origins = [
    ...[...list.exact].map((origin) => ({ origin, isSample: false })),
    ...[...list.wildcards].map((origin) => ({ origin: origin.replace('//', '//www.'), isSample: true })),
  ]
  // Pages of an account that gives its posts alone read those.
  const refused = found?.problem == null ? undefined : (found.feed ?? found).problem?.message
  const closed = found?.problem === null && !found.isForPages ? serversOnlySentence({ account: found.name, appUrl }) : null
  const problem =
    found === null
      ? 'The token cannot be looked up at the moment.'
      : refused === undefined
        ? closed
        : refused.replace(/ Is this your site\? .*/s, ` ${remedy}`)
  const visits = origins.slice(0, MAX_VISITS).map((site) => {
    const headers = { origin: site.origin, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }
    const decision = decideRead({ resource: 'json', headers, rawHeaders: [] }, list, reading.isServerKey)
    const why = decision.allowed ? problem : refusalSentence(decision, { isOwn: own !== null, account: null, appUrl })
    return { ...site, works: why === null, why }
  })
  return { visits, more: Math.max(0, origins.length - MAX_VISITS) }
}
