import { openKeyPlace } from '../agent.ts'
import type { Config } from '../config/config.ts'
import { AppError } from '../core/errors.ts'
import type { CommandName } from './commands.ts'
import { readLines } from './lines.ts'
import { print, say } from './terminal.ts'

type Place = NonNullable<Awaited<ReturnType<typeof openKeyPlace>>>

interface Asked {
  readonly name: CommandName
  /** How long the keychain may take: a person has to unlock it. */
  readonly withinMs: number
}

/** The commands that begin with `keychain`. */
export async function keychainCommand(config: Config, { name, withinMs }: Asked): Promise<number> {
  const place = await openKeyPlace(config)
  if (place === null) {
    const fixed = 'The key of the store comes from ENCRYPTION_KEY'
    if (name === 'keychain status') return print(`${fixed}.`)
    throw new AppError('invalid', `${fixed}. The keychain can hold the key of the embedded store alone: unset the variable first.`)
  }
  const found = await place.look()
  if (found === null)
    return print(`There is no key yet. The first start of the agent makes one, in ${place.path}.`, name === 'keychain status' ? 0 : 1)
  if ('keychainId' in found) {
    if (name === 'keychain disable') return disable(place, found.keychainId, withinMs)
    await place.keys(found.keychainId, withinMs)
    return print(
      `The key lies in the system’s keychain, as “encryption-key ${found.keychainId}” of token-agent, and the keychain gives it.`,
    )
  }
  if (name === 'keychain disable') return print(`The key lies in ${place.path} already.`)
  if (name === 'keychain enable') return enable(place, { keys: found.keys, command: config.command, withinMs })
  print(`The key lies in ${place.path}.`)
  const problem = await place.problem(withinMs)
  return print(
    problem === null
      ? `The system’s keychain answers. To move the key there: ${config.command('keychain enable')}`
      : `The system’s keychain cannot be used here: ${problem}.`,
  )
}

interface Keys {
  readonly keys: readonly string[]
  readonly command: Config['command']
  readonly withinMs: number
}

async function enable(place: Place, { keys, command, withinMs }: Keys): Promise<number> {
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
  const id = await place.enable(keys, keep, withinMs)
  if (id === null) return print(`Nothing was changed: the key lies in ${place.path}.`, 1)
  say(`The key lies in the system’s keychain now, as “encryption-key ${id}” of token-agent.
Before you go back to an older release, or run the agent where the keychain is locked: ${command('keychain disable')}`)
  return 0
}

async function disable(place: Place, id: string, withinMs: number): Promise<number> {
  await place.disable(id, withinMs)
  return print(`The key lies in ${place.path} again.
The keychain keeps “encryption-key ${id}” of token-agent: delete it there once no copy of this folder uses it.`)
}
