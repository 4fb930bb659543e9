import t from 'tap'
import { marked } from '../../src/core/vault.ts'
import { createReturnPages } from '../../src/sign-in/return-page.ts'
import { createVault } from '../../src/storage/vault.ts'

const HOSTS = ['evil.example', 'EVIL.example', 'agent.example.evil.example', 'agent.example@evil.example', '[::1]', '2130706433']
const STARTS = [
  '//',
  '///',
  '/\\',
  '\\\\',
  '\\/',
  '/\t/',
  '/\n/',
  '\r\n//',
  '%2f%2f',
  '/%2f',
  '/%5c',
  '%09//',
  './/',
  '/.//',
  '/..//',
  '////',
]
const SCHEMES = [
  'https://',
  'http://',
  'HTTPS:/',
  'https:',
  'javascript://',
  'data:text/html,',
  'blob:https://',
  'ftp://',
  '\u0000//',
  ' //',
]
const OURS = ['/admin', '/setup', '/admin/accounts/shop', '/connect/instagram/callback?code=c&state=s', '/invite/secret', '/admin/sign-out']
const NAMES = [
  '..',
  '../..',
  'shop/remove',
  'shop?x',
  'shop#x',
  'shop\r\nset-cookie: a=b',
  '//evil.example',
  'Shop',
  'shop.',
  '%2e%2e',
  '\u2044',
  '',
]
const PAGES = ['account', 'attempts', 'connect', 'setup', 'status', 'callback', 'remove', 'invite', '__proto__', 'constructor', 'toString']

const ADDRESSES = [
  ...STARTS.flatMap((start) => HOSTS.map((host) => start + host)),
  ...SCHEMES.flatMap((scheme) => HOSTS.map((host) => scheme + host)),
  ...OURS,
  ...PAGES.flatMap((page) => NAMES.map((name) => `${page}.${name}.`)),
]

t.test('a sign-in ends on a page of the closed list, whatever it is asked for', async (t) => {
  const vault = createVault(['a key'])
  const { pageIn, signInFrom } = createReturnPages(vault)
  t.ok(ADDRESSES.length >= 200)
  for (const address of ADDRESSES) {
    t.equal(pageIn(address), '/admin', JSON.stringify(address))
    t.equal(pageIn(marked(vault, 'another use', address)), '/admin', 'a MAC for another use')
    t.equal(pageIn(marked(createVault(['another key']), 'page after sign-in', address)), '/admin', 'a MAC of another agent')
    if (!OURS.includes(address)) t.equal(signInFrom(address), '/admin/sign-in', 'an address is no route')
  }
  for (const value of [undefined, null, 1, [], {}, ['setup..']]) t.equal(pageIn(value), '/admin')
})

t.test('only pages that change nothing are kept, with an account’s name at most', async (t) => {
  const { pageIn, signInFrom } = createReturnPages(createVault(['a key']))
  const back = (route: string, params: object): string =>
    pageIn(new URL(signInFrom(route, params), 'http://agent').searchParams.get('page'))
  for (const name of NAMES.filter((name) => name !== ''))
    for (const [route, params] of [
      ['/admin/accounts/:account', { account: name }],
      ['/admin/accounts/:account/history', { account: name }],
      ['/connect/:provider', { provider: name }],
    ] as const)
      t.equal(signInFrom(route, params), '/admin/sign-in', JSON.stringify([route, name]))
  for (const route of [
    '/connect/:provider/callback',
    '/connect/:provider/confirm',
    '/invite/:secret',
    '/admin/sign-out',
    '/callbacks/:provider',
  ])
    t.equal(signInFrom(route, { provider: 'instagram', secret: 'shop' }), '/admin/sign-in', route)
  t.equal(back('/admin/accounts/:account/remove', { account: 'shop' }), '/admin/accounts/shop', 'a form leads to its account')
  t.equal(back('/connect/:provider', { provider: 'instagram' }), '/connect/instagram')
})
