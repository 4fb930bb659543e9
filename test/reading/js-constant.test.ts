import vm from 'node:vm'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { builtInNames, constantNameProblem, renderScript } from '../../src/reading/js-constant.ts'
import { oldRelease } from '../support/old-release.ts'
import { words } from '../support/words.ts'

// A million cases take a few seconds, on a busy machine many more.
t.setTimeout(120_000)

/** Runs the scripts in a fresh global and returns the new names. */
function definedBy(scripts: string): string[] {
  const context = vm.createContext({})
  vm.runInContext(scripts, context)
  return Object.getOwnPropertyNames(context)
}

/** Whether the engine accepts them as names in strict, asynchronous and module code. */
function isBindable(names: string): boolean {
  try {
    new vm.Script(`'use strict'; async function* f() { let ${names} }`)
    return true
  } catch {
    return false
  }
}

/** Accepted names must be valid to the engine too, and define only themselves. */
function provesAll(t: Test, names: readonly string[]) {
  for (let at = 0; at < names.length; at += 10_000) {
    const batch = names.slice(at, at + 10_000)
    if (!isBindable(batch.join(', '))) return t.fail(`no name to the engine: ${batch.find((name) => !isBindable(name))}`)
    const defined = definedBy(batch.map((name) => renderScript(name, 'IGAAx')).join(''))
    if (defined.length !== batch.length || defined.some((name, i) => name !== batch[i]))
      return t.fail(`a script defines something else: ${batch[0]} …`)
  }
  return t.pass(`${names.length} names define themselves and nothing else`)
}

const FIRST = new Set('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_$')
const LATER = new Set([...FIRST, ...'0123456789'])
const SHORT_WORDS = words`do if in for let new try var CSS URL Map Set NaN top Ink GPU HID USB`

t.test('accepts the default name and common choices', async (t) => {
  const names = [
    'InstagramToken',
    'token',
    'TOKEN',
    '_',
    '$',
    '$_1',
    'myToken2',
    'instagram_token',
    'async',
    'of',
    'get',
    'Token',
    'x'.repeat(64),
  ]
  for (const name of names) t.equal(constantNameProblem(name), null, name)
  provesAll(t, names)
})

t.test('refuses invalid names, reserved words and built-ins, with the reason', async (t) => {
  const noName = [
    '1a',
    'a-b',
    'a b',
    'a.b',
    'a[0]',
    'a;b',
    'a\n',
    '\na',
    'a\u2028',
    'münchen',
    'ａ',
    '\\u0061',
    'a/**/',
    '"a"',
    '<script>',
    'a=1',
    'a\0',
    'token,x',
  ]
  for (const name of noName) t.match(constantNameProblem(name), /no JavaScript name/)
  t.match(constantNameProblem(''), /empty/)
  t.match(constantNameProblem('x'.repeat(65)), /64/)
  const reserved =
    'await yield let static enum implements interface package private protected public eval arguments null true false this super typeof void with'
  for (const name of reserved.split(' ')) t.match(constantNameProblem(name), /reserved word/, name)
  const builtIn =
    'undefined NaN Infinity name status top parent self location toString valueOf constructor __proto__ hasOwnProperty HTMLElement onclick onmessage window document globalThis Object fetch chrome event length origin importScripts skipWaiting process addEventListener __defineGetter__ webkitURL BeforeInstallPromptEvent captureEvents'
  for (const name of builtIn.split(' ')) t.match(constantNameProblem(name), /already means something/, name)
})

t.test('never repeats the name in the reason', async () => {
  fc.assert(fc.property(fc.string({ maxLength: 80 }), (noise) => !(constantNameProblem(`canary-${noise}`) ?? '').includes('canary')))
})

t.test('refuses every name that the language itself gives the global object', async (t) => {
  const names = vm.runInNewContext(
    'const names = []; for (let o = globalThis; o; o = Object.getPrototypeOf(o)) names.push(...Object.getOwnPropertyNames(o)); names',
  )
  t.ok(names.length > 70)
  t.same(
    names.filter((name: string) => !builtInNames().has(name)),
    [],
  )
  t.ok(builtInNames().size > 1_250)
  t.same(
    [...builtInNames()].filter((name) => !/^[A-Za-z_$][\w$]*$/.test(name)),
    [],
  )
})

t.test('no name that 1.0.0 accepts and a person would choose is refused', async (t) => {
  const { BUILT_IN_NAMES } = await oldRelease(t).load<{ BUILT_IN_NAMES: ReadonlySet<string> }>('domain/built-in-names.ts')
  const added = [...builtInNames()].filter((name) => !BUILT_IN_NAMES.has(name))
  t.same(
    added.filter((name) => name.length < 9 || /^[a-z]/.test(name)),
    ['oninstallresult'],
  )
})

t.test('decides rightly on every ASCII string of up to three characters', async (t) => {
  const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))
  const accepted: string[] = []
  const wrong: string[] = []
  const judge = (text: string, isName: boolean) => {
    const isAccepted = constantNameProblem(text) === null
    if (isAccepted) accepted.push(text)
    if (isAccepted !== (isName && !SHORT_WORDS.includes(text))) wrong.push(text)
  }
  judge('', false)
  for (const a of ascii) {
    const startsName = FIRST.has(a)
    judge(a, startsName)
    for (const b of ascii) {
      const continuesName = startsName && LATER.has(b)
      judge(a + b, continuesName)
      for (const c of ascii) judge(a + b + c, continuesName && LATER.has(c))
    }
  }
  t.same(wrong, [])
  provesAll(t, accepted)
})

t.test('decides rightly on a million random strings', async (t) => {
  let state = 20_261_122
  // A linear congruential generator: the same cases on each run.
  const below = (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 4_294_967_296) * limit)
  }
  const letters = [...LATER]
  const signs = [...' \t\n\r\0"\'`\\/;,.()[]{}<>=+-*&|!?#@%^~:', '\u2028', '\u2029', '\u00e9', '\ud83d', '\ufeff', '\u200d']
  const words = [...builtInNames(), 'await', 'let', 'class', 'InstagramToken', 'yield', 'arguments', 'null']
  const names = new Set<string>()
  for (let n = 0; n < 1_000_000; n++) {
    let text = below(3) === 0 ? (words[below(words.length)] ?? '') : ''
    for (let length = below(below(8) === 0 ? 90 : 12); length > 0; length--) text += letters[below(letters.length)]
    if (below(3) === 0) {
      const at = below(text.length + 1)
      text = text.slice(0, at) + signs[below(signs.length)] + text.slice(at)
    }
    const isName = FIRST.has(text.charAt(0)) && text.length <= 64 && [...text].every((letter) => LATER.has(letter))
    const isAccepted = constantNameProblem(text) === null
    if (isAccepted && !isName) return t.fail(`accepts ${JSON.stringify(text)}`)
    if (isName && !isAccepted && !words.includes(text) && isBindable(text)) return t.fail(`refuses ${text}`)
    if (isAccepted) names.add(text)
  }
  t.ok(names.size > 200_000)
  return provesAll(t, [...names])
})

t.test('the script defines the token and contains no <', async () => {
  const token = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) }),
    fc
      .array(
        fc.constantFrom(
          '</script>',
          '<!--',
          '-->',
          '"',
          "'",
          '\\',
          '\u2028',
          '\u2029',
          '\n',
          '\r',
          '\0',
          ']]>',
          '$',
          '{x}',
          '\ud800',
          '&lt;',
        ),
      )
      .map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(fc.constantFrom('InstagramToken', '$', 'async', '_1'), token, (name, value) => {
      const script = renderScript(name, value)
      const context = vm.createContext({})
      vm.runInContext(script, context)
      const property = Object.getOwnPropertyDescriptor(context, name)
      return (
        property?.value === value &&
        /^[\x20-\x7e]*\n$/.test(script) &&
        !/[<>&]/.test(script) &&
        Object.getOwnPropertyNames(context).length === 1
      )
    }),
    { numRuns: 1_000 },
  )
})

t.test('defines a constant: enumerable, a property of the global, not assignable', async (t) => {
  const context = vm.createContext({})
  vm.runInContext(renderScript('InstagramToken', 'IGAAx'), context)
  t.equal(vm.runInContext('InstagramToken + globalThis.InstagramToken', context), 'IGAAxIGAAx')
  t.equal(vm.runInContext("Object.keys(globalThis).includes('InstagramToken')", context), true)
  t.throws(() => vm.runInContext("'use strict'; InstagramToken = 'other'", context), /read only/)
  t.equal(vm.runInContext("InstagramToken = 'other'; InstagramToken", context), 'IGAAx')
})

t.test('may be included twice; the later token counts', async (t) => {
  const context = vm.createContext({})
  for (const token of ['IGAAx', 'IGAAx', 'IGAAy']) vm.runInContext(renderScript('InstagramToken', token), context)
  t.equal(vm.runInContext('InstagramToken', context), 'IGAAy')
  vm.runInContext(`'use strict'; ${renderScript('InstagramToken', 'IGAAz')}`, context)
  t.equal(vm.runInContext('InstagramToken', context), 'IGAAz')
})

t.test('is one harmless definition even for an unchecked name', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (name) => {
      const script = renderScript(`x${name}`, 'IGAAx')
      const defined = definedBy(script)
      return defined.length === 1 && defined[0] === `x${name}` && !script.includes('<')
    }),
    { numRuns: 500 },
  )
})
