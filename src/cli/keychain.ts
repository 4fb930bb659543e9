import { openKeyPlace } from '../agent.ts'
import type { Config } from '../config/config.ts'
import { AppError } from '../core/errors.ts'
import type { CommandName } from './commands.ts'
import { readLines } from './lines.ts'
import { print, say } from './terminal.ts'

type Place = NonNullable<Awaited<ReturnType<typeof openKeyPlace>>>

/** The commands that begin with `keychain`. `keychainMs`: how long a person may take to unlock it. */
export async function keychainCommand(config: Config, name: CommandName, keychainMs?: number): Promise<number> {
  const place = await openKeyPlace(config, keychainMs)
  if (place === null) {
    const fixed = 'The key of the store comes from ENCRYPTION_KEY'
    if (name === 'keychain status') return print(`${fixed}.`)
    throw new AppError('invalid', `${fixed}. The keychain can hold the key of the embedded store alone: unset the variable first.`)
  }
  const found = await place.look()
  if (found === null)
    return print(`There is no key yet. The first start of the agent makes one, in ${place.path}.`, name === 'keychain status' ? 0 : 1)
  if ('keychainId' in found) {
    if (name === 'keychain disable') return disable(place, found.keychainId)
    await place.keys(found.keychainId)
    return print(
      `The key lies in the system’s keychain, as “encryption-key ${found.keychainId}” of token-agent, and the keychain gives it.`,
    )
  }
  if (name === 'keychain disable') return print(`The key lies in ${place.path} already.`)
  if (name === 'keychain enable') return enable(place, found.keys, config.command)
  print(`The key lies in ${place.path}.`)
  const problem = await place.problem()
  return print(
    problem === null
      ? `The system’s keychain answers. To move the key there: ${config.command('keychain enable')}`
      : `The system’s keychain cannot be used here: ${problem}.`,
  )
}

async function enable(place: Place, keys: readonly string[], command: Config['command']): Promise<number> {
  const isPerson = process.stdin.isTTY === true
  const keep = async (value: string): Promise<boolean> => {
    say(
      'The keychain has the key. Keep a copy of it in a safe place: without the keychain nothing else opens the tokens, no backup either.\n',
    )
    print(value)
    if (!isPerson) return true
    process.stderr.write(`\nDo you have the copy? The file ${place.path} loses the key now. [y/N] `)
    const lines = readLines(process.stdin)
    const typed = await lines.next(new AbortController().signal)
    lines.close()
    return /^y(?:es)?$/i.test(typed?.trim() ?? '')
  }
  const id = await place.enable(keys, keep)
  if (id === null) return print(`Nothing was changed: the key lies in ${place.path}.`, 1)
  say(`The key lies in the system’s keychain now, as “encryption-key ${id}” of token-agent.
Before you go back to an older release, or run the agent where the keychain is locked: ${command('keychain disable')}`)
  return 0
}

async function disable(place: Place, id: string): Promise<number> {
  await place.disable(id)
  return print(`The key lies in ${place.path} again.
The keychain keeps “encryption-key ${id}” of token-agent: delete it there once no copy of this folder uses it.`)
}
