// npm run crash -- --kills N --provider tiktok (or --feeds --processes 8): kills the agent with -9 at random and at named moments of its refreshes, for each way in which
// providers rotate tokens, and checks the tokens that are left.
import { parseArgs } from 'node:util'
import { createInstallation } from '../faults/installation.ts'
import { startAgent } from '../support/agent.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import type { Teardown } from '../support/temp-folder.ts'
import { waitFor } from '../support/wait-for.ts'
import { crashFeeds, type FeedCrashReport, feedCrashFigures } from './feeds.ts'
import { type LaneReport, runLane } from './lane.ts'
import { MODES, type Mode } from './provider.ts'
import { startRelay } from './relay.ts'

export interface CrashReport {
  readonly lanes: readonly LaneReport[]
  readonly kills: number
  /** From the restart until the row says that the token is lost, with real leases. */
  readonly lossNamedMs: number
  readonly violations: readonly string[]
}

export async function crash(t: Teardown, kills: number, provider = 'instagram'): Promise<CrashReport> {
  const modes = MODES[provider]
  if (modes === undefined) throw new Error(`--provider must be one of ${Object.keys(MODES).join(', ')}`)
  const [postgres] = await Promise.all([startPostgres(t), warmCompileCache(t)])
  let left = kills
  const mayKill = (): boolean => left-- > 0
  const [lossNamedMs, ...lanes] = await Promise.all([
    nameOneLoss(t, postgres, modes.find(({ mayLose }) => mayLose) as Mode),
    ...modes.map((mode) => runLane(t, { postgres, mode, mayKill })),
  ])
  const violations = lanes.flatMap((lane) => lane.violations.map((what) => `${lane.mode}: ${what}`))
  if (lossNamedMs > 60_000) violations.push(`a lost token was named only ${lossNamedMs} ms after the restart`)
  return { lanes, kills: lanes.reduce((sum, lane) => sum + lane.kills, 0), lossNamedMs, violations }
}

/** Runs one agent to a clean exit, which fills Node's compile cache; a killed process leaves nothing there. */
async function warmCompileCache(t: Teardown): Promise<void> {
  await (await startAgent(t)).stop('SIGINT')
}

/** The lanes cut leases short; this run keeps real leases. */
async function nameOneLoss(t: Teardown, postgres: PostgresServer, mode: Mode): Promise<number> {
  const provider = await mode.open(t)
  let answered = false
  const relay = await startRelay(t, provider, (moment) => {
    if (moment !== 'answered' || answered) return false
    answered = true
    return true
  })
  const { url } = await postgres.createDatabase(t)
  const site = await createInstallation(t, { databaseUrl: url, env: provider.env(relay.url) })
  await provider.add(site, 'default')
  const first = await startAgent(t, { env: site.env, ready: null })
  await waitFor('the answer on its way', () => answered)
  await first.kill9()
  const startedMs = performance.now()
  const second = await startAgent(t, { env: site.env, ready: null })
  const named = async () => (await site.account('default')).lastErrorCode === 'reconnect' && second.stdout().includes(provider.lossSays)
  await waitFor('the loss to be named', named, { timeoutMs: 150_000, everyMs: 200 })
  const namedMs = Math.round(performance.now() - startedMs)
  await second.kill9()
  return namedMs
}

export function crashFigures({ lanes, kills, lossNamedMs, violations }: CrashReport): string {
  const moments = Object.keys(lanes[0]?.killsAt ?? {})
  const rows = lanes.map((lane) =>
    [
      lane.mode.padEnd(32),
      String(lane.kills).padStart(6),
      String(lane.refreshes).padStart(10),
      String(lane.reads).padStart(8),
      String(lane.lost).padStart(6),
      String(lane.named).padStart(6),
    ].join(''),
  )
  const at = moments.map((moment) => `${moment} ${lanes.reduce((sum, { killsAt }) => sum + killsAt[moment as 'any'], 0)}`)
  return [
    `${'rotation'.padEnd(32)}${' kills'}${' refreshes'}${'   reads'}${'  lost'}${' named'}`,
    ...rows,
    `${kills} kills, by moment: ${at.join(', ')}`,
    `a loss is named ${(lossNamedMs / 1000).toFixed(1)} s after the restart, with real leases`,
    `${violations.length} violations${violations.map((what) => `\n  ${what}`).join('')}`,
  ].join('\n')
}

async function ofTokens(t: Teardown, kills: number, provider: string): Promise<[CrashReport, string]> {
  const report = await crash(t, kills, provider)
  return [report, crashFigures(report)]
}

async function ofFeeds(t: Teardown, kills: number, processes: number): Promise<[FeedCrashReport, string]> {
  const report = await crashFeeds(t, { kills, processes })
  return [report, feedCrashFigures(report)]
}

if (import.meta.main) {
  const options = {
    kills: { type: 'string', default: '200' },
    provider: { type: 'string', default: 'instagram' },
    feeds: { type: 'boolean', default: false },
    processes: { type: 'string', default: '8' },
  } as const
  const { values } = parseArgs({ options })
  const endings: (() => unknown)[] = []
  const startedMs = performance.now()
  const t = { teardown: (end: () => unknown) => void endings.unshift(end) }
  const kills = Number(values.kills)
  const [report, figures] = values.feeds ? await ofFeeds(t, kills, Number(values.processes)) : await ofTokens(t, kills, values.provider)
  console.log(`${figures}\n${Math.round((performance.now() - startedMs) / 1000)} s`)
  for (const end of endings) await end()
  process.exit(report.violations.length === 0 ? 0 : 1)
}
