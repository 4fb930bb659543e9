// npm run years [-- --accounts 200 --years 5 --seed 1]: the agent's own code, and the programs that people use today, through
// the same years.
import { parseArgs } from 'node:util'
import type { RefreshFrequency } from '../../src/refreshing/next-refresh.ts'
import { runAgent } from './agent.ts'
import { createFacebookWorld } from './checked.ts'
import type { Kind } from './kind.ts'
import type { Figures } from './ledger.ts'
import { RIVALS, runRival } from './rivals.ts'
import { createTikTokWorld } from './rotating.ts'
import { type Script, type Size, writeScript } from './script.ts'
import { createInstagramWorld, createThreadsWorld } from './self.ts'

/** By provider: how its tokens live. */
export const WORLDS = {
  instagram: createInstagramWorld,
  threads: createThreadsWorld,
  facebook: createFacebookWorld,
  tiktok: createTikTokWorld,
} satisfies Record<string, (script: Script) => Kind>

export async function yearsOfAgent(size: Size, frequency: RefreshFrequency, provider: keyof typeof WORLDS = 'instagram'): Promise<Figures> {
  const script = writeScript(size)
  const world = WORLDS[provider](script)
  const ledger = await runAgent(world, script, frequency)
  return ledger.figures(`token-agent, ${provider === 'instagram' ? frequency : provider}`, size.accounts * size.years, world.calls())
}

export function yearsOfRivals(size: Size): Figures[] {
  const script: Script = writeScript(size)
  return RIVALS.map((rival) => {
    const world = createInstagramWorld(script)
    return runRival(world, script, rival).figures(rival.policy, size.accounts * size.years, world.calls())
  })
}

const COLUMNS: readonly (readonly [title: string, cell: (figures: Figures) => string])[] = [
  ['policy', ({ policy }) => policy],
  ['dead days that could have been prevented', ({ preventableDays }) => preventableDays.toFixed(1)],
  ['dead days in all', ({ deadDays }) => deadDays.toFixed(0)],
  ['ends of grants: alerted, not alerted', ({ alertedAfterHours, unalerted }) => `${alertedAfterHours?.count ?? 0}, ${unalerted}`],
  [
    'until alerted, median and longest',
    ({ alertedAfterHours: after }) => (after === null ? 'never' : `${after.median.toFixed(1)} h, ${after.longest.toFixed(1)} h`),
  ],
  ['alerted ahead, at least', ({ aheadDays }) => (aheadDays === null ? 'never' : `${aheadDays.toFixed(0)} days`)],
  ['calls a year and account', ({ calls }) => calls.toFixed(0)],
  ['alerts a year and account; needless', ({ alerts, needlessAlerts }) => `${alerts.toFixed(2)}; ${needlessAlerts.toFixed(2)}`],
]

/** As Markdown. */
export function tableOf(all: readonly Figures[]): string {
  const rows = all.map((figures) => COLUMNS.map(([, cell]) => cell(figures)))
  return [COLUMNS.map(([title]) => title), COLUMNS.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      accounts: { type: 'string', default: '200' },
      years: { type: 'string', default: '5' },
      seed: { type: 'string', default: '1' },
    },
  })
  const size = { accounts: Number(values.accounts), years: Number(values.years), seed: Number(values.seed) }
  const startedMs = performance.now()
  const all: Figures[] = []
  for (const frequency of ['weekly', 'daily', 'monthly'] as const) all.push(await yearsOfAgent(size, frequency))
  all.push(await yearsOfAgent(size, 'weekly', 'threads'), await yearsOfAgent(size, 'weekly', 'facebook'))
  // A refresh every 90 minutes, so fewer accounts.
  all.push(await yearsOfAgent({ ...size, accounts: Math.min(size.accounts, 10) }, 'weekly', 'tiktok'))
  console.log(tableOf([...all, ...yearsOfRivals(size)]))
  console.log(`${Math.round((performance.now() - startedMs) / 1000)} s`)
}
