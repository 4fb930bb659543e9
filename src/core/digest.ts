import { createHash, randomBytes } from 'node:crypto'

/** 256 random bits in base64url. */
export const randomId = (): string => randomBytes(32).toString('base64url')

/** The store keeps and looks up values of browsers and providers only by this digest. */
export const digest = (text: string): string => createHash('sha256').update(text).digest('base64url')

/** 132 bits: enough for cache keys and ETags. */
export const shortDigest = (text: string): string => digest(text).slice(0, 22)
