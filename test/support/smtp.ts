import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { selfSignedChain } from './certificates.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'

export interface Received {
  /** As it came, with its headers. */
  readonly raw: string
  readonly from: string
  readonly to: readonly string[]
  readonly user: string | null
  readonly isEncrypted: boolean
}

export interface MailServer {
  readonly port: number
  readonly received: Received[]
  /** The authority that signed its certificate, which is for `host` and 127.0.0.1. */
  readonly ca: Buffer
  /** Refuses every sign-in, and repeats user and password in its text. */
  isRefusing: boolean
}

export const LOGIN = { user: 'agent@mail.example', password: 'canary of the mailbox' }

/** A real mail server with TLS and sign-in, on loopback. */
export async function startMailServer(t: Teardown, options: SMTPServerOptions = {}): Promise<MailServer> {
  const { caFile, chainFile, keyFile } = selfSignedChain(tempFolder(t), ['mail.example'])
  const made = { port: 0, received: [] as Received[], ca: readFileSync(caFile), isRefusing: false }
  const server = new SMTPServer({
    cert: readFileSync(chainFile),
    key: readFileSync(keyFile),
    disableReverseLookup: true,
    logger: false,
    onAuth({ username, password }, _session, done) {
      if (!made.isRefusing && username === LOGIN.user && password === LOGIN.password) done(null, { user: username })
      else done(Object.assign(new Error(`no entry for ${username} with ${password}`), { responseCode: 535 }))
    },
    async onData(stream, { envelope, user, secure }, done) {
      const raw = await text(stream)
      const from = envelope.mailFrom === false ? '' : envelope.mailFrom.address
      made.received.push({
        raw,
        from,
        to: envelope.rcptTo.map(({ address }) => address),
        user: typeof user === 'string' ? user : null,
        isEncrypted: secure,
      })
      done()
    },
    ...options,
  })
  server.on('error', () => {})
  const listening = server.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  t.teardown(() => new Promise<void>((resolve) => server.close(resolve)))
  made.port = (listening.address() as AddressInfo).port
  return made
}

export interface RawServer {
  readonly port: number
  /** All that clients have written. */
  text(): string
  readonly connections: () => number
}

/** A server that answers each line by `answer`; null = nothing, ever. The empty line asks for the greeting. */
export async function startRawServer(t: Teardown, answer: (line: string, socket: Socket) => string | null): Promise<RawServer> {
  let written = ''
  let connections = 0
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    const say = (line: string): void => {
      const reply = answer(line, socket)
      if (reply !== null) socket.write(reply)
    }
    let rest = ''
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      written += chunk
      const lines = (rest + chunk).split('\r\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line !== '') say(line)
    })
    say('')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, text: () => written, connections: () => connections }
}
