import { garbleAll } from '../faults/memcached-text.ts'
import type { Instagram } from '../support/instagram.ts'
import { FAULTS, type FaultName } from '../support/instagram-faults.ts'
import type { Memcached } from '../support/memcached.ts'
import type { Database, PostgresServer } from '../support/postgres.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'

export interface SoakFault {
  readonly name: string
  begin(): unknown
  end(): unknown
}

export function networkFaults(what: string, proxy: TcpProxy): SoakFault[] {
  const end = () => proxy.pass()
  return [
    { name: `${what} behind a black hole`, begin: () => proxy.blackHole(), end },
    { name: `${what} a second away`, begin: () => proxy.delay(1_000), end },
    { name: `${what} cut off in mid-answer`, begin: () => proxy.cutAfter(Math.floor(Math.random() * 500)), end },
    { name: `${what} resets connections`, begin: () => proxy.reset(), end },
  ]
}

/** `role` = the database role of the agents. */
export function storeFaults(postgres: PostgresServer, database: Database, role: string): SoakFault[] {
  const terminate = () => postgres.query('select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', [role])
  const setting = (sql: string) => async () => {
    await postgres.query(sql)
    await terminate()
  }
  return [
    { name: 'store stopped', begin: () => postgres.stop('immediate'), end: () => postgres.start() },
    { name: 'store frozen', begin: () => postgres.freeze(), end: () => postgres.thaw() },
    { name: 'store ends connections', begin: terminate, end: terminate },
    {
      name: 'store read-only',
      begin: setting(`alter database ${database.name} set default_transaction_read_only = on`),
      end: setting(`alter database ${database.name} reset default_transaction_read_only`),
    },
    {
      name: 'store out of connections',
      begin: setting(`alter role ${role} connection limit 0`),
      end: setting(`alter role ${role} connection limit -1`),
    },
  ]
}

export function cacheFaults(memcached: Memcached): SoakFault[] {
  return [
    { name: 'Memcached killed', begin: () => memcached.kill(), end: () => memcached.restart() },
    { name: 'Memcached frozen', begin: () => memcached.freeze(), end: () => memcached.thaw() },
    { name: 'Memcached garbled', begin: () => garbleAll(memcached.port), end: () => garbleAll(memcached.port) },
  ]
}

export function providerFaults(instagram: Instagram): SoakFault[] {
  const end = () => {
    instagram.heal()
    instagram.knobs.refreshedString = Math.random() < 0.5 ? 'same' : 'new'
  }
  const faults = (Object.keys(FAULTS) as FaultName[]).map((name) => ({
    name: `provider ${name}`,
    begin: () => instagram.fail(Math.random() < 0.5 ? '*' : '/refresh_access_token', name),
    end,
  }))
  return [...faults, { name: 'provider slow', begin: () => instagram.fail('*', { kind: 'slowAnswer', ms: 2_000 }), end }]
}
