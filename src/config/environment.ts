import type { VariableKind } from '../core/provider.ts'
import { splitList, unquoted, unquotedList } from '../core/quotes.ts'
import { Secret } from '../core/secret.ts'

export interface Notes {
  readonly problems: string[]
  readonly warn: (text: string, forOwner?: boolean) => void
}

/** What a start goes on with all the same; names the variable, never its value. */
export interface Warning {
  readonly text: string
  /** Not to be shown to strangers: it would help them. */
  readonly forOwner: boolean
}

/** The variables as their reader wants them. */
export interface Environment {
  /** Null = unset, or what the Ruby agent's documentation told people to replace. */
  text(name: string): string | null
  list(name: string): string[]
  /** As it stands there; null = without quotes. */
  quoted(name: string): string | null
}

// What the Ruby agent's app.json and documentation told people to replace.
const PLACEHOLDERS = new Set(['copy_token_here', 'copy_app_name_here', 'yourwebsite.com'])

/** Takes quotes off each value: a release before took them for a part of it, so nothing that ran with them may stop. */
export function readEnvironment(
  env: NodeJS.ProcessEnv,
  variables: Readonly<Record<string, VariableKind>>,
  warnings: Warning[],
): Environment {
  const plain = new Map<string, string[]>()
  const quoted = new Map<string, string>()
  for (const [name, kind] of Object.entries(variables)) {
    const isList = kind === 'list'
    const raw = env[name]?.trim() ?? ''
    const entries = isList ? unquotedList(raw) : [unquoted(raw)]
    plain.set(
      name,
      entries.filter((entry) => entry !== '' && !PLACEHOLDERS.has(entry)),
    )
    if (entries.join(' ') === (isList ? splitList(raw).join(' ') : raw)) continue
    quoted.set(name, raw)
    warnings.push({
      text: `${name}: stands in quotes, which are not part of the value; the agent leaves them out. Write the value without them: docker --env-file and the lists of compose.yaml keep them.`,
      forOwner: false,
    })
  }
  const list = (name: string): string[] => plain.get(name) ?? []
  return { text: (name) => list(name).join(' ') || null, list, quoted: (name) => quoted.get(name) ?? null }
}

interface KeySpellings {
  readonly encryptionKeys: readonly Secret[] | null
  readonly otherKeySpellings: readonly Secret[]
}

/**
 * With quotes around them the keys go on sealing as they did, so that a release before opens what this one seals. Without,
 * what was sealed with quotes opens too: around each entry, or around the whole list.
 */
export function keySpellings(keys: readonly Secret[], quoted: string | null): KeySpellings {
  if (keys.length === 0) return { encryptionKeys: null, otherKeySpellings: [] }
  const plain = keys.map((key) => key.reveal())
  const old = quoted === null ? plain : splitList(quoted)
  const sealed = old.every((key) => /^[\x21-\x7e]{16,}$/.test(key)) ? old : plain
  const others = plain.flatMap((key) => [key, ...['"', "'", '`'].flatMap((mark) => [mark + key + mark, mark + key, key + mark])])
  const secrets = (texts: Iterable<string>): Secret[] => [...texts].map((one) => new Secret(one))
  return { encryptionKeys: secrets(sealed), otherKeySpellings: secrets(new Set(others.filter((key) => !sealed.includes(key)))) }
}

export const characters = (count: number): string => (count === 1 ? 'one character' : `${count} characters`)
