import { createHash, randomBytes } from 'node:crypto'

/** 256 random bits as text. */
export const randomId = (): string => randomBytes(32).toString('base64url')

/** What a browser or a provider holds is stored and looked up by this alone. */
export const digest = (text: string): string => createHash('sha256').update(text).digest('base64url')

/** 132 bits of it: enough for keys of a cache and for ETags. */
export const shortDigest = (text: string): string => digest(text).slice(0, 22)
