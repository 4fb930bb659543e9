import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Azure's metadata and agents: a public address that leads into the host. */
const AZURE_HOST = '168.63.129.16'
/** The only block in use so far: a later one is not public by itself. */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3')

/** True for each address outside the ordinary public Internet, and for text that is no address. */
export function isForbiddenAddress(address: string): boolean {
  if (isIP(address) === 0 || address === AZURE_HOST) return true
  const parsed = ipaddr.parse(address)
  return parsed.range() !== 'unicast' || (parsed.kind() === 'ipv6' && !parsed.match(GLOBAL_IPV6))
}
