import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { Secret } from '../core/secret.ts'
import type { SealContext, Vault } from '../core/vault.ts'
import { UnreadableError } from '../core/vault.ts'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const MAC_BYTES = 16

interface Key {
  readonly id: string
  readonly bytes: Uint8Array
  readonly macBytes: Uint8Array
}

/**
 * The first of `secrets` is the newest and seals. All `secrets` and `others` open. A sealed value is
 * `v1.<key id>.<nonce>.<ciphertext and tag>`.
 */
export function createVault(secrets: readonly string[], others: readonly string[] = []): Vault {
  const keys = [...secrets, ...others].map(deriveKey)
  const newest = keys[0]
  if (!newest || secrets.length === 0) throw new Error('A vault needs at least one key.')

  return {
    keyIds: keys.map(({ id }) => id),
    keyPrefixes: keys.map(({ id }) => `v1.${id}.`),
    isCurrent: (sealed) => sealed.startsWith(`v1.${newest.id}.`),
    mac: (use, text) => macOf(newest, use, text).toString('hex'),
    macs: (use, text) => keys.map((key) => `${key.id}.${macOf(key, use, text).toString('hex')}`),
    hasMac(use, text, mac) {
      const given = Buffer.from(mac, 'hex')
      // The decoder stops at a non-hexadecimal digit and accepts capitals, so the text must equal its own encoding.
      if (given.length !== MAC_BYTES || given.toString('hex') !== mac) return false
      return keys.reduce((isValid, key) => timingSafeEqual(macOf(key, use, text), given) || isValid, false)
    },

    seal(value, context) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(CIPHER, newest.bytes, nonce)
      cipher.setAAD(bound(context))
      const text = Buffer.concat([cipher.update(value.reveal(), 'utf8'), cipher.final(), cipher.getAuthTag()])
      return `v1.${newest.id}.${nonce.toString('base64url')}.${text.toString('base64url')}`
    },

    open(sealed, context) {
      const { isFeedOnly } = context
      const value =
        decipher(sealed, context) ?? (isFeedOnly === undefined ? null : decipher(sealed, { ...context, isFeedOnly: !isFeedOnly }))
      if (value === null) throw new UnreadableError(context)
      return value
    },
  }

  function decipher(sealed: string, context: SealContext): Secret | null {
    const [form, id, nonceText = '', text = '', ...rest] = sealed.split('.')
    const nonce = decode(nonceText)
    const bytes = decode(text)
    const key = keys.find((candidate) => candidate.id === id)
    if (form !== 'v1' || rest.length > 0 || !key || nonce?.length !== NONCE_BYTES || !bytes || bytes.length < TAG_BYTES) return null
    const opening = createDecipheriv(CIPHER, key.bytes, nonce, { authTagLength: TAG_BYTES })
    opening.setAAD(bound(context))
    opening.setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      return new Secret(Buffer.concat([opening.update(bytes.subarray(0, -TAG_BYTES)), opening.final()]).toString('utf8'))
    } catch {
      return null
    }
  }
}

/** A new secret for ENCRYPTION_KEY. */
export function generateKey(): string {
  return randomBytes(KEY_BYTES).toString('base64url')
}

function deriveKey(secret: string): Key {
  if (secret === '') throw new Error('A key of the vault is empty.')
  const bytes = new Uint8Array(hkdfSync('sha256', secret, '', 'token-agent seal v1', KEY_BYTES))
  const id = createHash('sha256').update(bytes).digest().subarray(0, 8).toString('base64url')
  return { id, bytes, macBytes: new Uint8Array(hkdfSync('sha256', secret, '', 'token-agent mac v1', KEY_BYTES)) }
}

function macOf({ macBytes }: Key, use: string, text: string): Buffer {
  return createHmac('sha256', macBytes)
    .update(JSON.stringify([use, text]))
    .digest()
    .subarray(0, MAC_BYTES)
}

/** The additional data. JSON, because a plain join would not tell “a.b” + “c” from “a” + “b.c”. */
function bound({ table, row, column, provider, isFeedOnly = false }: SealContext): Buffer {
  const marks = isFeedOnly ? [provider ?? '', 'feed'] : provider === undefined ? [] : [provider]
  return Buffer.from(JSON.stringify([table, row, column, ...marks]), 'utf8')
}

/** Null where the text is not the canonical encoding of its bytes; the decoder itself ignores stray bits. */
function decode(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : null
}
