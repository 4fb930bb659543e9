import { text } from 'node:stream/consumers'

// A process of its own: a prompt that no person sees may never return. Exit codes: 3 no library, 4 no such item, 5 refused.
const [, , action, id = ''] = process.argv
const keyring = await import('@napi-rs/keyring').catch(() => process.exit(3))
try {
  // Without the store's name the library falls back to the kernel's keyring, which the next boot empties.
  const item = new keyring.Entry('token-agent', `encryption-key ${id}`, { linux: { store: 'secret-service' } })
  if (action === 'set') item.setPassword(await text(process.stdin))
  const value = item.getPassword()
  if (value === null) process.exitCode = 4
  else process.stdout.write(value)
} catch {
  process.exitCode = 5
}
