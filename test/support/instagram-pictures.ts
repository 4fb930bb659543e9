import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { SERVICES } from './graph-services.ts'
import type { Answer, User } from './instagram-graph.ts'
import { Refusal, strict } from './instagram-graph.ts'
import type { Knobs } from './instagram-knobs.ts'
import { drawPng } from './small-png.ts'

// The pictures of scontent-….cdninstagram.com: their addresses carry a signature and no token.

const signatureOf = (userId: string): string => createHash('sha256').update(`picture of ${userId}`).digest('hex').slice(0, 32)

export function createPictures(knobs: Knobs, url: () => string) {
  const drawn = new Map<string, Buffer>()
  return {
    /** A profile picture. */
    fieldOf({ userId }: User): Record<string, string> {
      if (knobs.pictureUrl === 'absent') return {}
      const query = new URLSearchParams({ user: userId, oh: signatureOf(userId) })
      return { [SERVICES[knobs.service].pictureField]: knobs.pictureUrl === 'right' ? `${url()}/picture?${query}` : knobs.pictureUrl }
    },

    serve(params: URLSearchParams, headers: IncomingHttpHeaders): Answer {
      const { user = '', oh } = strict(params, ['user', 'oh'])
      if (oh !== signatureOf(user)) throw new Refusal(100, 'URL signature mismatch')
      for (const name of ['authorization', 'cookie', 'referer']) {
        if (headers[name] !== undefined) throw new Refusal(100, `A picture’s server need not know ${name}`)
      }
      const body = drawn.get(user) ?? pictureOf(user)
      drawn.set(user, body)
      return { status: 200, body, headers: { 'content-type': 'image/png', 'cache-control': 'max-age=1209600, no-transform' } }
    },
  }
}

const SKIES = [0xf2b880, 0x9cc5d8, 0xe7a2a0, 0xc8b6e2, 0xf0d58c]
const HILLS = [0x3f6b4f, 0x8a4f3d, 0x2f5d73, 0x6b5b95, 0x7a6a2f]

/** Hills under a sun in the user's colours; 150 by 150 pixels, as Instagram's are. */
export function pictureOf(userId: string): Buffer {
  const [sky = 0, hill = 0, sun = 0] = createHash('sha256').update(userId).digest()
  const colours = [SKIES[sky % SKIES.length] ?? 0, HILLS[hill % HILLS.length] ?? 0] as const
  return drawPng(150, (x, y) => {
    if (y > 112 + 14 * Math.sin((x + hill) / 19)) return (colours[1] >> 1) & 0x7f7f7f
    if (y > 88 + 22 * Math.sin((x + sky) / 27)) return colours[1]
    return Math.hypot(x - 40 - (sun % 70), y - 48) < 22 ? 0xfff7e0 : colours[0]
  })
}
