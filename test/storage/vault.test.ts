import t from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { Secret } from '../../src/core/secret.ts'
import { accountContext, isMarked, marked, UnreadableError } from '../../src/core/vault.ts'
import { createVault, generateKey } from '../../src/storage/vault.ts'

const PLACE = accountContext({ provider: 'instagram', name: 'shop' }, 'access_token')
const TOKEN = new Secret('IGQVJ-token_1.2~3')

t.test('opens its own sealed values of any length', async (t) => {
  const vault = createVault([generateKey()])
  for (const value of ['', 'x', 'xy', 'xyz', TOKEN.reveal(), 'ü€\u{1F600}', 'x'.repeat(8192)]) {
    t.equal(vault.open(vault.seal(new Secret(value), PLACE), PLACE).reveal(), value)
  }
})

t.test('seals as v1.<key id>.<nonce>.<ciphertext>, differently each time, and shows no plaintext', async (t) => {
  const vault = createVault([generateKey()])
  const sealed = Array.from({ length: 100 }, () => vault.seal(TOKEN, PLACE))
  t.equal(new Set(sealed.map((text) => text.split('.')[2])).size, 100, 'no nonce twice')
  t.match(sealed[0], /^v1\.[\w-]{11}\.[\w-]{16}\.[\w-]+$/)
  t.notMatch(sealed.join(''), Buffer.from(TOKEN.reveal()).toString('base64url'))
})

t.test('does not open a value in another row, column or table', async (t) => {
  const vault = createVault([generateKey()])
  const sealed = vault.seal(TOKEN, PLACE)
  for (const place of [
    accountContext({ provider: 'instagram', name: 'shop2' }, 'access_token'),
    accountContext({ provider: 'instagram', name: 'shop' }, 'refresh_token'),
    accountContext({ provider: 'threads', name: 'shop' }, 'access_token'),
    { ...PLACE, table: 'sessions' },
    { table: 'accounts', row: 'shop"', column: '"access_token' },
  ]) {
    t.throws(() => vault.open(sealed, place), UnreadableError)
  }
  // The same letters, cut at another place.
  for (const between of ['","', '.', '/', ':', ',', '|', '\0', '']) {
    const cut = vault.seal(TOKEN, { table: 'a', row: `b${between}c`, column: 'd' })
    t.throws(() => vault.open(cut, { table: 'a', row: 'b', column: `c${between}d` }), UnreadableError)
  }
})

t.test('the first release opens what was sealed for its own provider, and no other provider’s tokens', async (t) => {
  const vault = createVault([generateKey()])
  const ofFirstRelease = { table: 'accounts', row: 'shop', column: 'access_token' }
  t.equal(vault.open(vault.seal(TOKEN, PLACE), ofFirstRelease).reveal(), TOKEN.reveal())
  const sealed = vault.seal(TOKEN, accountContext({ provider: 'threads', name: 'shop' }, 'access_token'))
  t.throws(() => vault.open(sealed, ofFirstRelease), UnreadableError)
})

t.test('does not open a value with any bit altered', async (t) => {
  const vault = createVault([generateKey()])
  // One, two and three bytes beyond a multiple of three: base64 then has bits to spare.
  for (const token of ['abc', 'abcd', 'abcde']) {
    const sealed = vault.seal(new Secret(token), PLACE)
    for (let i = 0; i < sealed.length; i++) {
      for (let bit = 0; bit < 7; bit++) {
        const flipped = String.fromCharCode(sealed.charCodeAt(i) ^ (1 << bit))
        t.throws(() => vault.open(sealed.slice(0, i) + flipped + sealed.slice(i + 1), PLACE), UnreadableError, `${i}/${bit}`)
      }
    }
    for (let length = 0; length < sealed.length; length++) t.throws(() => vault.open(sealed.slice(0, length), PLACE), UnreadableError)
    for (const more of ['A', '.', '=', ' ', '\n', '.A']) t.throws(() => vault.open(sealed + more, PLACE), UnreadableError)
  }
})

t.test('opens with every key, and seals with the first', async (t) => {
  const [first, second, third] = [generateKey(), generateKey(), generateKey()]
  const before = createVault([first])
  const during = createVault([second, first])
  const sealed = before.seal(TOKEN, PLACE)
  t.equal(during.open(sealed, PLACE).reveal(), TOKEN.reveal())
  t.equal(during.isCurrent(sealed), false)
  const again = during.seal(TOKEN, PLACE)
  t.equal(during.isCurrent(again), true)
  t.equal(createVault([third, second, first]).open(again, PLACE).reveal(), TOKEN.reveal())
  t.strictSame(during.keyIds, [...createVault([second]).keyIds, ...before.keyIds])
  t.throws(() => before.open(again, PLACE), UnreadableError, 'a key it does not know')
  t.throws(() => createVault([third]).open(sealed, PLACE), UnreadableError)
})

t.test('the error names the value and a remedy, without showing the value', async (t) => {
  const sealed = createVault([generateKey()]).seal(TOKEN, PLACE)
  t.throws(() => createVault([generateKey()]).open(sealed, PLACE), {
    message:
      'No key in ENCRYPTION_KEY opens the token of “shop”. Put the key that sealed it back, after the newest one, separated by a comma.',
  })
  for (const text of ['', 'plain token', 'v1', 'v2.a.b.c', 'v1....']) t.throws(() => createVault(['k']).open(text, PLACE), UnreadableError)
})

t.test('refuses to work without a key', async (t) => {
  t.throws(() => createVault([]))
  t.throws(() => createVault(['']))
})

t.test('a MAC is valid under each key, for one use, one text and one spelling', async (t) => {
  const old = createVault(['the old key'])
  const value = marked(old, 'oauth state', 'abc')
  t.match(value, /^abc[0-9a-f]{32}$/)
  for (const keys of [['the new key', 'the old key'], ['the old key', 'the new key'], ['the old key']])
    t.equal(isMarked(createVault(keys), 'oauth state', value), true, keys.join())
  const vault = createVault(['the new key', 'the old key'])
  t.equal(isMarked(old, 'oauth state', marked(vault, 'oauth state', 'abc')), false, 'the newest key marks')
  for (const [use, wrong] of [
    ['deletion code', value],
    ['oauth state', `abd${value.slice(3)}`],
    ['oauth state', value.toUpperCase()],
    ['oauth state', `${value}0`],
    ['oauth state', value.slice(0, -1)],
    ['oauth state', 'abc'],
    ['oauth state', ''],
    ['oauth state', `abc${'0'.repeat(32)}`],
    ['oauth state', `abc${'é'.repeat(32)}`],
  ] as const)
    t.equal(isMarked(vault, use, wrong), false, `${use} ${wrong}`)
  t.equal(isMarked(createVault(['the new key']), 'oauth state', value), false, 'without the key that made it')
})

t.test('values sealed with quoted keys open with unquoted ones, and the other way round', async (t) => {
  const [a, b] = ['a-key-0123456789abcdef', 'b-key-0123456789abcdef']
  const vaultOf = (value: string) => {
    const { encryptionKeys, otherKeySpellings } = readConfig({ ENCRYPTION_KEY: value })
    return createVault(
      encryptionKeys?.map((key) => key.reveal()) ?? [],
      otherKeySpellings.map((key) => key.reveal()),
    )
  }
  const place = { table: 'accounts', row: 'shop', column: 'access_token' }
  for (const quoted of [`"${a}"`, `'${a}'`, `\`${a}\``, `"${a},${b}"`, `"${a}","${b}"`, `'${b},${a}'`, `"${b}", "${a}"`]) {
    // As the release before read it.
    const before = createVault(quoted.split(/[\s,]+/))
    const plain = quoted.includes(b) ? `${a},${b}` : a
    for (const now of [vaultOf(quoted), vaultOf(plain)])
      t.equal(now.open(before.seal(new Secret('IGAA'), place), place).reveal(), 'IGAA', `${quoted}, sealed before`)
    t.equal(before.open(vaultOf(quoted).seal(new Secret('IGAA'), place), place).reveal(), 'IGAA', `${quoted}, opened after a roll-back`)
    t.equal(
      vaultOf(quoted)
        .open(vaultOf(plain).seal(new Secret('IGAA'), place), place)
        .reveal(),
      'IGAA',
      `${quoted}, beside an instance without`,
    )
  }
})
