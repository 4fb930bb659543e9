import { saveGrant } from '../../src/accounts/save-grant.ts'
import { seedAccount } from '../../src/accounts/seed.ts'
import type { Alert } from '../../src/alerts/alert.ts'
import { type Account, isServable } from '../../src/core/account.ts'
import { AppError } from '../../src/core/errors.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext } from '../../src/core/vault.ts'
import type { RefreshFrequency } from '../../src/refreshing/next-refresh.ts'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { createDatabaseClock } from '../../src/storage/database-clock.ts'
import { createVault } from '../../src/storage/vault.ts'
import { openVirtualStore, startProcess } from './agent-process.ts'
import type { Grant, Kind } from './kind.ts'
import { Ledger } from './ledger.ts'
import { actsAfterAlert, noticesByPage } from './operator.ts'
import { type AccountScript, DAY_MS, HOUR_MS, type Host, MINUTE_MS, type Script } from './script.ts'

// The agent's own code in the world of a script. Time stands still within a tick, and jumps to the next instant at which
// something is due and a process runs.

const NEVER = Number.POSITIVE_INFINITY

export async function runAgent(kind: Kind, script: Script, frequency: RefreshFrequency): Promise<Ledger> {
  const ledger = new Ledger()
  for (const host of script.hosts) await runHost({ kind, script, host, frequency, ledger })
  return ledger
}

interface World {
  readonly kind: Kind
  readonly script: Script
  readonly host: Host
  readonly frequency: RefreshFrequency
  readonly ledger: Ledger
}

/** An account as the world sees it. */
interface Shop {
  readonly account: AccountScript
  /** Null = no person has given a token yet. */
  grant: Grant | null
  /** The sealed token that was opened last, and what it says. */
  sealed: string | null
  token: string
  /** What readers get works until then, as long as nothing changes. */
  worksUntil: number
  seenAt: number
  /** When a person acts on an alert. */
  personAt: number
  isEndAlerted: boolean
  alertedLapse: number | null
  isAskedToApprove: boolean
}

async function runHost({ kind, script, host, frequency, ledger }: World): Promise<void> {
  const store = await openVirtualStore(script.start)
  const vault = createVault(['a key of the world'])
  const accounts = createAccountStore(store.db, createDatabaseClock(store.now, store.now))
  const shops = new Map<string, Shop>(
    host.accounts.map((account) => [
      account.name,
      {
        account,
        grant: null,
        sealed: null,
        token: '',
        worksUntil: NEVER,
        seenAt: script.start,
        personAt: script.start,
        isEndAlerted: false,
        alertedLapse: null,
        isAskedToApprove: false,
      },
    ]),
  )
  /** Access tokens end within hours. */
  const isShort = kind.lifeSeconds * 1000 < DAY_MS
  let drawn = 0
  const providerName = (): string => [...running.deps.providers.keys()][0] ?? ''
  const random = (): number => script.fraction(`${host.accounts[0]?.name} draws ${drawn++}`)
  const place = { kind, script, host, frequency, store, vault, random, send }
  let running = startProcess(place)

  const isEnded = ({ grant }: Shop): boolean => grant === null || grant.endsAt <= store.now()
  const textOf = (account: Account): string =>
    account.accessToken === null ? '' : vault.open(account.accessToken, accountContext(account, 'access_token')).reveal()

  async function send({ event, account }: Alert): Promise<void> {
    const now = store.now()
    const shop = shops.get(account ?? '')
    if (shop === undefined) return ledger.alert(false)
    const { grant, token } = shop
    if (event === 'recovered') {
      if (!isEnded(shop)) shop.personAt = NEVER
      return
    }
    const lapse = kind.lapsedSince(shop.account, now)
    const isNear = event.startsWith('approval_ends')
    ledger.alert(isEnded(shop) || lapse !== null || isNear || token === '' || kind.workingUntil(token) <= now)
    if (isNear && token !== '' && !shop.isAskedToApprove) ledger.alertedAhead(kind.approvalEnd(token) - now)
    if (isNear) shop.isAskedToApprove = true
    if (event === 'person_needed' || isNear) shop.personAt = Math.min(shop.personAt, actsAfterAlert(script, host, shop.account.name, now))
    if (grant !== null && isEnded(shop) && !shop.isEndAlerted) {
      shop.isEndAlerted = true
      ledger.alertedAfter(now - grant.endsAt - host.blind.coveredMs(grant.endsAt, now))
    }
    if (lapse !== null && lapse !== shop.alertedLapse && !isEnded(shop)) {
      shop.alertedLapse = lapse
      ledger.alertedAhead(kind.expiryOf(token) - now)
    }
  }

  /** From the row as it stands now until the next change of it. */
  function look(rows: readonly Account[]): void {
    const now = store.now()
    for (const row of rows) {
      const shop = shops.get(row.name) as Shop
      close(shop)
      if (row.accessToken !== shop.sealed) Object.assign(shop, { sealed: row.accessToken, token: textOf(row) })
      const isServed = isServable(row, new Date(now))
      shop.worksUntil = isServed ? Math.min(row.expiresAt?.getTime() ?? NEVER, kind.workingUntil(shop.token)) : now
    }
  }
  function close(shop: Shop): void {
    const [from, endsAt] = [Math.max(shop.seenAt, shop.worksUntil), shop.grant?.endsAt ?? script.start]
    // A token that lives for weeks must not end there.
    const unavoidableMs = isShort ? host.blind.coveredMs(from, Math.min(store.now(), endsAt)) : 0
    ledger.dead(from, store.now(), endsAt, unavoidableMs)
    shop.seenAt = store.now()
  }

  /** A person gives a new token, by the command line or in the browser, or restores the app's permission. */
  async function act(shop: Shop): Promise<void> {
    const { account } = shop
    const now = store.now()
    const row = await accounts.find(account.name)
    close(shop)
    shop.personAt = NEVER
    kind.restore(account, now)
    if (row?.state === 'active' && !isEnded(shop) && shop.worksUntil > now && !shop.isAskedToApprove) return
    // An alert that stood when the token ended was believed.
    if (shop.grant !== null && isEnded(shop) && !shop.isEndAlerted) {
      const { endsAt } = shop.grant
      // Without a chance to ask, or where the person comes for another alert anyway, none is missed.
      const isMissed = now - endsAt > host.blind.coveredMs(endsAt, now) && !shop.isAskedToApprove
      if (row?.state === 'reconnect') ledger.alertedAfter(0)
      else if (isMissed) ledger.unalerted()
    }
    const text = kind.connect(account, now)
    const { deps } = running
    if (account.index % 4 < 2) {
      const seed = { account: account.name, provider: providerName(), token: new Secret(text), actor: 'cli' as const, fingerprint: null }
      await seedAccount(deps, seed).catch((error: unknown) => {
        if (!(error instanceof AppError)) throw error
      })
    } else await connect(text, row)
    const after = await accounts.find(account.name)
    const served = after === null ? '' : textOf(after)
    const isTaken = after !== null && served !== '' && kind.grantOf(served) === kind.grantOf(text) && isServable(after, new Date(now))
    // The command line says at once that it did not work: another hour, another try.
    if (isTaken) Object.assign(shop, { grant: kind.grantOf(text), isEndAlerted: false, alertedLapse: null, isAskedToApprove: false })
    else shop.personAt = host.blind.outside(now + HOUR_MS)
  }

  /** As a browser that comes back from the provider does; where that does not answer, nothing is changed. */
  async function connect(text: string, over: Account | null): Promise<void> {
    const { deps } = running
    const [provider] = deps.providers.values()
    const grant = kind.granted(text, store.now())
    const profile = await provider?.profile(grant.accessToken).catch(() => null)
    if (provider === undefined || profile == null) return
    const taking = { account: kind.grantOf(text).account.name, provider: provider.name, grant, profile, askedAt: deps.store.now() }
    await saveGrant({ ...deps, seedFingerprints: new Map() }, { ...taking, actor: 'owner', existing: over })
  }

  interface Summary {
    /** Another text where rows have changed so that a reader may notice. */
    readonly rows: string
    /** The earliest of each; null = none is planned. */
    readonly refresh: string | null
    readonly look: string | null
    readonly alert: string | null
  }
  async function summarize(): Promise<Summary> {
    const [summary] = await store.db.query<Summary>(
      `select sum(revision) || ' ' || sum(failure_count) as rows, min(next_refresh_at) as refresh,
        min(case when state = 'active' then next_check_at end) as look, min(alert_at) as alert from accounts`,
    )
    return summary as Summary
  }
  const isDue = (at: string | null): boolean => at !== null && Date.parse(at) <= store.now()

  /** When something is due, if it is before a person acts; where it was overdue, a minute later. */
  function nextInstant({ refresh, look, alert }: Summary): number {
    const dueAt = Math.min(...[refresh, look, alert].map((at) => (at === null ? NEVER : Date.parse(at))))
    const personAt = Math.min(...[...shops.values()].map(personOf))
    // The timer ticks once a minute.
    let at = Math.ceil(Math.max(store.now() + 1, Math.min(dueAt, personAt)) / MINUTE_MS) * MINUTE_MS
    while (host.off.at(at) !== null || host.databaseDown.at(at) !== null) at = host.databaseDown.outside(host.off.outside(at))
    return at
  }
  /** Where the agent could not ask, an access token of two hours ends, and comes back without a person. */
  const emptyFrom = (worksUntil: number): number => (isShort ? host.blind.outside(worksUntil) : worksUntil)
  const personOf = ({ account, personAt, worksUntil }: Shop): number =>
    Math.min(personAt, worksUntil === NEVER ? NEVER : noticesByPage(script, host, account.name, emptyFrom(worksUntil)))

  let summary = await summarize()
  for (let at = script.start; at < script.end; at = nextInstant(summary)) {
    await store.setNow(at)
    const begun = host.starts.findLast((start) => start <= at) ?? at
    const isNew = running.isDead() || begun > running.startedAt || at === script.start
    if (isNew) running = startProcess(place)
    const acting = [...shops.values()].filter((shop) => personOf(shop) <= at)
    for (const shop of acting) await act(shop)
    if (acting.length > 0) {
      // Readers have the new tokens from now on, even if the database goes away within this tick.
      look(await accounts.list())
      summary = await summarize()
    }
    // What is not due is not asked for, but by a process that has just begun: the database would answer with nothing.
    const refresh = isNew || isDue(summary.refresh)
    await running.tick({ refresh, look: isNew || isDue(summary.look), alert: refresh || isDue(summary.alert) })
    const before = summary.rows
    summary = await summarize()
    if (summary.rows !== before || running.isDead()) look(await accounts.list())
  }
  await store.setNow(script.end)
  look(await accounts.list())
  for (const { grant, isEndAlerted } of shops.values()) {
    if (grant === null || grant.endsAt > script.end || isEndAlerted) continue
    ledger.alertedAfter(script.end - grant.endsAt - host.blind.coveredMs(grant.endsAt, script.end))
  }
  await store.db.close()
}
