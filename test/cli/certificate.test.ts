import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import t from 'tap'
import { createCertificate } from '../../src/cli/certificate.ts'
import { launch } from '../support/process.ts'
import { tempFolder } from '../support/temp-folder.ts'

t.test('the certificate is for this computer alone, for a day, with a serial of its own', async (t) => {
  const now = Date.now()
  const { cert } = createCertificate(now)
  const read = new X509Certificate(cert)
  t.equal(read.subjectAltName, 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  t.same(read.keyUsage, ['1.3.6.1.5.5.7.3.1'])
  t.ok(read.verify(read.publicKey))
  t.equal(Math.round((Date.parse(read.validTo) - now) / 3_600_000), 24)
  t.equal(Math.round((now - Date.parse(read.validFrom)) / 3_600_000), 1)
  t.ok(read.checkHost('localhost') && read.checkIP('::1') && read.checkHost('example.com') === undefined)
  t.equal(read.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  const serials = new Set(Array.from({ length: 50 }, () => new X509Certificate(createCertificate(now).cert).serialNumber))
  t.equal(serials.size, 50)
  for (const serial of serials) t.match(serial, /^01[\dA-F]{32}$/)
  for (const at of ['2027-12-31T23:30:00Z', '2049-12-30T00:00:00Z'])
    t.equal(Date.parse(new X509Certificate(createCertificate(Date.parse(at)).cert).validTo), Date.parse(at) + 86_400_000, at)
})

t.test('tls and openssl accept it', async (t) => {
  const made = createCertificate(Date.now())
  const server = createServer(made, (socket) => socket.end('hello')).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  const socket: TLSSocket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: made.cert })
  const said = await new Promise<string>((resolve, reject) => socket.once('data', (data) => resolve(String(data))).once('error', reject))
  t.equal(said, 'hello')
  t.ok(socket.authorized)
  socket.destroy()
  const file = join(tempFolder(t, 'certificate'), 'cert.pem')
  writeFileSync(file, made.cert)
  const openssl = await launch('openssl', ['verify', '-purpose', 'sslserver', '-verify_hostname', 'localhost', '-CAfile', file, file])
  t.match({ ...(await openssl.exited), said: openssl.stdout() }, { code: 0, said: /: OK\n$/ }, openssl.stderr())
})
