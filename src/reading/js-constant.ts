import { createRequire } from 'node:module'
import type Globals from 'globals'

// Loaded at the first name that is checked: a provider's own needs no check, and the list takes half a megabyte.
const require = createRequire(import.meta.url)

// Keywords, including those of strict mode and modules, and the two names that strict code cannot define.
const RESERVED_WORDS = new Set(
  `await break case catch class const continue debugger default delete do else enum export extends false finally for
  function if implements import in instanceof interface let new null package private protected public return static
  super switch this throw true try typeof var void while with yield arguments eval`.split(/\s+/),
)

const SCOPES = ['builtin', 'browser', 'worker', 'serviceworker', 'sharedWorker', 'nodeBuiltin'] as const
// Names that `globals` lacks: Chromium 156 and Node 24 keep them for old code.
const OLD_NAMES = `AnimationTrigger BeforeInstallPromptEvent WebKitCSSMatrix WebKitMutationObserver captureEvents chrome releaseEvents
  onwebkitanimationend onwebkitanimationiteration onwebkitanimationstart onwebkittransitionend webkitCancelAnimationFrame
  webkitMediaStream webkitRTCPeerConnection webkitRequestAnimationFrame webkitSpeechGrammar webkitSpeechGrammarList
  webkitSpeechRecognition webkitSpeechRecognitionError webkitSpeechRecognitionEvent webkitURL`.split(/\s+/)
// 1.0.0 accepts these, which newer browsers define: an upgrade stops no agent and breaks no page.
const ACCEPTED_BEFORE = ['AI', 'FileSystem', 'ai', 'model', 'oncopy', 'oncut', 'onpaste', 'sharedStorage']
let names: ReadonlySet<string> | null = null

/** Every built-in name of the global object of a page, a worker or Node: a constant of that name would break the page. */
export function builtInNames(): ReadonlySet<string> {
  if (names !== null) return names
  const globals: typeof Globals = require('globals')
  const known = SCOPES.flatMap((scope) => Object.keys(globals[scope]))
  const found = new Set([...known, ...Object.getOwnPropertyNames(Object.prototype), ...OLD_NAMES])
  for (const name of ACCEPTED_BEFORE) found.delete(name)
  names = found
  return found
}

/** The reason why a page cannot have a constant of this name, or null. Never repeats the name. */
export function constantNameProblem(name: string): string | null {
  if (name === '') return 'is empty'
  if (name.length > 64) return 'is too long; a name has at most 64 characters'
  if (!/^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name)) return 'is no JavaScript name; use letters, digits, _ and $, with no digit in front'
  if (RESERVED_WORDS.has(name)) return 'is a reserved word of JavaScript; choose another name'
  if (builtInNames().has(name)) return 'already means something in browsers; choose another name'
  return null
}

/** The body of `/token.js`. `const` would throw if the tag is included twice; a page could change a plain assignment by accident. */
export function renderScript(name: string, token: string): string {
  return `Object.defineProperty(globalThis, ${literal(name)}, {value: ${literal(token)}, enumerable: true, configurable: true})\n`
}

/** A string literal that is safe inside a `<script>` element and in any encoding: plain ASCII without `<`, `>` and `&`. */
function literal(value: string): string {
  return JSON.stringify(value).replace(/[<>&\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
