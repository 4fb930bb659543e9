import type { VariableKind } from '../core/provider.ts'
import { splitList, unquoted, unquotedList } from '../core/quotes.ts'
import { Secret } from '../core/secret.ts'

export interface Notes {
  readonly problems: string[]
  readonly warn: (text: string, forOwner?: boolean) => void
}

/** A fault that does not stop the start. It names the variable, never its value. */
export interface Warning {
  readonly text: string
  /** True where public pages must not show it, because it would help an attacker. */
  readonly forOwner: boolean
}

/** The variables without quotes and placeholders. */
export interface Environment {
  /** Null = unset or a placeholder. */
  text(name: string): string | null
  list(name: string): string[]
  /** The value with its quotes; null = it has none. */
  quoted(name: string): string | null
}

// Placeholders in the Ruby agent's app.json and documentation.
const PLACEHOLDERS = new Set(['copy_token_here', 'copy_app_name_here', 'yourwebsite.com'])

/** Removes quotes around each value and warns. An earlier release kept them, so they must not stop an agent. */
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
 * Keys in quotes seal with their quotes, so that an earlier release can open new values. Keys without quotes also open
 * values that were sealed with quotes around each entry or around the whole list.
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
