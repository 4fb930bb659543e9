import { once } from 'node:events'
import { connect } from 'node:net'

/** Overwrites every value in Memcached, then floods it until it evicts the oldest; returns the number of garbled values. */
export async function garbleAll(port: number): Promise<number> {
  const dump = await talk(port, 'lru_crawler metadump all\r\n', /END\r\n|BUSY|ERROR/)
  const keys = [...dump.matchAll(/^key=(\S+)/gm)].map(([, key]) => decodeURIComponent(key ?? ''))
  const garbage = ['', '{}', 'v1.x.y.z', '\u0000\u0001'.repeat(200)]
  const set = (key: string, value: string): string => `set ${key} 0 60 ${Buffer.byteLength(value)}\r\n${value}\r\n`
  const own = keys.filter((key) => !key.startsWith('flood-'))
  const commands = own.map((key, n) => set(key, garbage[n % garbage.length] ?? ''))
  const flood = Array.from({ length: 20 }, (_, n) => set(`flood-${Date.now()}-${n}`, 'x'.repeat(100_000)))
  await talk(port, `${[...commands, ...flood].join('')}mn\r\n`, /MN\r\n/)
  return own.length
}

/** Sends `flush_all`. */
export async function flush(port: number): Promise<void> {
  await talk(port, 'flush_all\r\n', /OK\r\n/)
}

async function talk(port: number, commands: string, until: RegExp): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.setEncoding('latin1').on('data', (text) => {
    answer += text
    if (until.test(answer)) socket.destroy()
  })
  socket.on('error', () => {})
  socket.write(commands)
  await once(socket, 'close')
  return answer
}
