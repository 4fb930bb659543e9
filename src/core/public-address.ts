import { BlockList, isIP } from 'node:net'

// https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-special-registry
const FORBIDDEN_IPV4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10], // behind a carrier's or a cloud's NAT
  ['127.0.0.0', 8],
  ['168.63.129.16', 32], // Azure's metadata and agents: a public address that leads into the host
  ['169.254.0.0', 16], // link-local; the metadata of most clouds
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
]
const FORBIDDEN_IPV6: readonly (readonly [string, number])[] = [
  ['2001::', 23], // Teredo and other ways to wrap an IPv4 address
  ['2001:db8::', 32],
  ['2002::', 16], // 6to4
  ['3fff::', 20],
]

const forbidden = new BlockList()
for (const [network, bits] of FORBIDDEN_IPV4) forbidden.addSubnet(network, bits, 'ipv4')
for (const [network, bits] of FORBIDDEN_IPV6) forbidden.addSubnet(network, bits, 'ipv6')

// What is not handed out to anybody is not on the Internet: so loopback, private, link-local, multicast, IPv4-mapped
// and NAT64 addresses all fall, and whatever is invented next.
const global6 = new BlockList()
global6.addSubnet('2000::', 3, 'ipv6')

/** True for each address that is not an ordinary one of the public Internet, and for what is no address. */
export function isForbiddenAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return forbidden.check(address, 'ipv4')
  return family !== 6 || !global6.check(address, 'ipv6') || forbidden.check(address, 'ipv6')
}
