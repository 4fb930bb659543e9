import { chownSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { type Launched, launch } from './process.ts'
import { accountFor } from './run-as.ts'
import { binary } from './services.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'
import { waitFor } from './wait-for.ts'

export interface Memcached {
  /** host:port, for MEMCACHIER_SERVERS. */
  readonly server: string
  readonly port: number
  readonly pid: number
  freeze(): void
  thaw(): void
  kill(): Promise<void>
  /** Ends it if it still runs, and starts an empty one on the same port. */
  restart(): Promise<void>
}

export interface MemcachedOptions {
  megabytes?: number
  sasl?: { username: string; password: string }
  port?: number
}

export async function startMemcached(t: Teardown, { megabytes = 16, sasl, port: wanted }: MemcachedOptions = {}): Promise<Memcached> {
  const account = accountFor('memcache')
  const port = wanted ?? (await freePort())
  const saslEnv = sasl === undefined ? null : await saslFiles(t, sasl)
  let server: Launched
  const start = async () => {
    const flags = ['-l', '127.0.0.1', '-p', String(port), '-U', '0', '-m', String(megabytes), ...(saslEnv === null ? [] : ['-S'])]
    server = await launch(binary('memcached'), flags, { ...account, env: saslEnv ?? {} })
    await waitFor('Memcached to listen', () => !server.running || canConnect(port))
    if (!server.running) throw new Error(`Memcached did not start:\n${server.stderr()}`)
  }
  await start()
  t.teardown(() => server.end('SIGKILL'))
  const kill = async () => {
    await server.end('SIGKILL')
  }
  return {
    server: `127.0.0.1:${port}`,
    port,
    get pid() {
      return server.pid
    },
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    kill,
    async restart() {
      await kill()
      await start()
    },
  }
}

/** host:port of an external Memcached (CI's service container), else of one that the test starts. */
export async function memcachedServer(t: Teardown): Promise<string> {
  return process.env['TEST_MEMCACHED'] ?? (await startMemcached(t)).server
}

// A user name without a realm belongs to the realm named like the machine.
async function saslFiles(t: Teardown, { username, password }: { username: string; password: string }): Promise<Record<string, string>> {
  const { uid, gid } = accountFor('memcache')
  const folder = tempFolder(t, 'sasl')
  const database = join(folder, 'users.db')
  writeFileSync(
    join(folder, 'memcached.conf'),
    `mech_list: plain\nsasldb_path: ${database}\npwcheck_method: auxprop\nauxprop_plugin: sasldb\n`,
  )
  chownSync(folder, uid, gid)
  const tool = await launch(binary('sasl'), ['-p', '-c', '-a', 'memcached', '-u', hostname(), '-f', database, username], { uid, gid })
  tool.stdin.end(password)
  const { code } = await tool.exited
  if (code !== 0) throw new Error(`saslpasswd2 failed: ${tool.stderr()}`)
  return { SASL_CONF_PATH: folder }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
