import { ProviderError } from '../../core/errors.ts'
import type { Picture } from '../../core/media.ts'
import { type Call, download } from '../http.ts'

/** Profile pictures have 10 to 100 KB. */
const PROFILE_BYTES = 256 * 1024

// Observed, not documented: scontent-cdg4-1.cdninstagram.com, instagram.fmuc3-1.fna.fbcdn.net.
const HOSTS = ['.cdninstagram.com', '.fbcdn.net']

export interface PictureOptions extends Pick<Call, 'service' | 'fetch' | 'timeoutMs' | 'maxBytes'> {
  /** The Graph API's origin, which may hold pictures too. */
  readonly ownOrigin: string
}

/**
 * Fetches the picture at the address in a profile or a post. The address is signed, so no token is sent. It comes from
 * outside, so only Meta's hosts are allowed. Throws a ProviderError.
 */
export async function fetchPicture(address: unknown, options: PictureOptions): Promise<Picture | null> {
  const { ownOrigin, service, maxBytes = PROFILE_BYTES, ...how } = options
  if (address === undefined || address === null || address === '') return null
  const url = typeof address === 'string' ? URL.parse(address) : null
  const unusable = (why: string): ProviderError =>
    new ProviderError('transient', `A picture of the account on ${service} cannot be shown: ${why}.`)
  if (url === null || !isMetas(url, ownOrigin)) throw unusable(`its address is not one of ${service}’s own`)
  const { status, bytes } = await download(url, { service: `${service}’s picture server`, accept: 'image/*', maxBytes, ...how })
  if (status !== 200) throw unusable(`its server answered with HTTP ${status}`)
  const type = typeOf(bytes)
  if (type === null) throw unusable('what its server sent is neither JPEG, PNG nor WebP')
  return { type, bytes }
}

export function isMetas(url: URL, ownOrigin: string): boolean {
  if (url.username !== '' || url.password !== '') return false
  if (url.origin === ownOrigin) return true
  return url.protocol === 'https:' && url.port === '' && HOSTS.some((host) => url.hostname.endsWith(host))
}

/** Reads the type from the first bytes. The header may lie, and SVG or HTML could run scripts. */
function typeOf(bytes: Uint8Array): Picture['type'] | null {
  const start = Buffer.from(bytes.subarray(0, 12)).toString('latin1')
  if (start.startsWith('\xff\xd8\xff')) return 'image/jpeg'
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png'
  // https://developers.google.com/speed/webp/docs/riff_container
  return start.startsWith('RIFF') && start.slice(8) === 'WEBP' ? 'image/webp' : null
}
