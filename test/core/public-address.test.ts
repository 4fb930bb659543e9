import t from 'tap'
import { isForbiddenAddress } from '../../src/core/public-address.ts'

const FORBIDDEN = `0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.8.8.8 168.63.129.16
  169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255
  192.31.196.1 192.52.193.1 192.175.48.1 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
  :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:8.8.8.8 0:0:0:0:0:ffff:a00:1 64:ff9b::7f00:1 64:ff9b::8.8.8.8 64:ff9b:1::1 100::1
  2001::1 2001:0:53aa::1 2620:4f:8000::1 2001:db8::1 2002:7f00:1:: 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 febf::1 fec0::1 ff02::1 5f00::1
  1.2.3 1.2.3.4.5 0177.0.0.1 0x7f.0.0.1 2130706433 localhost metadata.google.internal`
const PUBLIC = `1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 172.15.255.255
  172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2a00:1450:4001::200e 2001:4860:4860::8888`

t.test('refuses every special address', async (t) => {
  for (const address of [...FORBIDDEN.split(/\s+/), '']) t.ok(isForbiddenAddress(address), address)
})

t.test('accepts public addresses, up to the edges of the special ranges', async (t) => {
  for (const address of PUBLIC.split(/\s+/)) t.notOk(isForbiddenAddress(address), address)
})
