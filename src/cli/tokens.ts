import type { SeedResult } from '../accounts/given-token.ts'
import { importRubyToken } from '../accounts/import-ruby.ts'
import { type ManageDeps, providerFor } from '../accounts/manage.ts'
import { pasteToken } from '../accounts/paste-token.ts'
import { rotateKeys, rotateWaiting } from '../accounts/rotate-keys.ts'
import { refuseOtherProvider } from '../accounts/save-grant.ts'
import type { Agent } from '../agent.ts'
import type { Config } from '../config/config.ts'
import { DEFAULT_ACCOUNT } from '../core/account.ts'
import { AppError } from '../core/errors.ts'
import { words } from '../core/format-time.ts'
import { Secret } from '../core/secret.ts'
import type { Command } from './arguments.ts'
import { ROTATING } from './auth-result.ts'
import { unconnectable } from './auth-settings.ts'
import { count, print, say, UsageError } from './terminal.ts'
import { looksSecret } from './words.ts'

const MAX_PASTED_CHARACTERS = 100_000

type Interruptible = (work: () => Promise<number>) => Promise<number>

export async function seed(
  owner: ManageDeps,
  { account: name, options }: Pick<Command, 'account' | 'options'>,
  config: Config,
  interruptible: Interruptible,
): Promise<number> {
  const typed = options.get('provider')
  const account = name ?? (typed === undefined ? undefined : owner.providers.get(typed)?.seed.account) ?? DEFAULT_ACCOUNT
  if (looksSecret(account) && (await owner.store.find(account)) === null) {
    throw new UsageError('That looks like a token or a key, not an account’s name. The token goes to standard input.')
  }
  const existing = await owner.store.find(account)
  const wanted = typed ?? existing?.provider ?? providerFor(owner, account)
  const provider = owner.providers.get(wanted)
  if (provider === undefined) throw new UsageError(unconnectable(wanted, provider, config))
  refuseOtherProvider(existing, { account, provider: provider.name })
  if (options.has('refresh-token') && provider.renewal !== 'rotating')
    throw new UsageError(`${provider.title} takes a ${provider.seed.title}: run the command without --refresh-token.`)
  if (process.stdin.isTTY) say(`Paste the ${provider.seed.title} of ${provider.title} and press Enter, then Ctrl-D:`)
  let text = ''
  for await (const chunk of process.stdin) {
    text += chunk
    if (text.length > MAX_PASTED_CHARACTERS) throw new AppError('invalid', 'This is far too long for a token; paste the token alone.')
  }
  if (text.trim() === '')
    throw new AppError(
      'invalid',
      `The token is empty: nothing came on standard input. Pipe it in: ${config.command(`seed ${account}`)} < token.txt`,
    )
  const token = new Secret(text.trim())
  return interruptible(async () => {
    const result = await pasteToken(owner, { account, provider: provider.name, token, actor: 'cli', otherUser: true })
    return printSeed(account, result, provider.renewal === 'rotating' ? `Never use this ${ROTATING}` : '')
  })
}

export async function importRuby({ refreshDeps, readRubyToken: read, owner }: Agent, force: boolean): Promise<number> {
  if (read === null)
    throw new AppError('invalid', 'The older Ruby agent kept its token in Postgres; set DATABASE_URL to the address of its database.')
  const { found, seed } = await importRubyToken(refreshDeps, {
    read,
    force,
    fingerprint: owner.seedFingerprints.get(DEFAULT_ACCOUNT) ?? null,
  })
  print(`The old app has a token${found.expiresAt === null ? '' : `, good until ${words.dayInUtc(found.expiresAt)}`}.`)
  return printSeed(DEFAULT_ACCOUNT, seed, 'The old table was left as it is. Once the agent works, drop it: the token is in it unencrypted.')
}

function printSeed(account: string, result: SeedResult, advice = ''): number {
  const message = words.plain(result.message)
  if (result.outcome !== 'taken') return print(`${message}\nThe token was not taken; the one that works stays.`, 1)
  if (result.result?.outcome === 'failed') return print(`The token is stored, but: ${message}`, 1)
  return print(`The token is stored as “${account}”. ${message}${advice && `\n${advice}`}`)
}

export async function rotate(agent: Agent): Promise<number> {
  const { resealed, current, unreadable } = await rotateKeys(agent.store, agent.vault)
  const waiting = await rotateWaiting(agent.owner.links, agent.vault)
  print(`${count(resealed.length, 'account')} sealed again, ${current.length} had the newest key already.`)
  for (const name of unreadable)
    print(`${name}: no key in ENCRYPTION_KEY opens it, so it was not changed. Add the key that sealed it, after the newest one.`)
  if (waiting.resealed.length > 0)
    print(`Sealed again, and still waiting for your yes: the permission of a client for ${waiting.resealed.join(', ')}.`)
  for (const name of waiting.unreadable)
    print(
      `${name}: no key in ENCRYPTION_KEY opens the permission that waits for your yes. Add the key that sealed it, or make another link.`,
    )
  return unreadable.length + waiting.unreadable.length > 0 ? 1 : 0
}
