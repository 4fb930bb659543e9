import t from 'tap'
import { createAccountStore } from '../../src/storage/account-store.ts'
import { eachStore } from '../storage/engines.ts'
import { createOwner, signedRequest } from '../support/owner.ts'
import { missing } from '../support/services.ts'
import { createDatabase } from '../support/shared-postgres.ts'
import { words } from '../support/words.ts'

t.test('a character that Postgres cannot store is refused in one sentence, in every field', { skip: missing('postgres') }, async (t) => {
  const { url } = await createDatabase(t)
  const world = await createOwner(t, { env: { DATABASE_URL: url, ENCRYPTION_KEY: 'k'.repeat(32) } })
  const { owner, agent } = world
  t.match(await owner.post('/admin/accounts', { name: 'shop', provider: 'instagram' }), { status: 303 })
  const refused = { status: 400, text: /a character that no text can have/ }
  for (const path of words`
    /admin?name=%00 /admin?name=a%00b&show=attention /admin?name=a&name=%00 /status?name=%00 /admin/history?before=%00
    /admin/accounts/shop/history?before=%00 /admin/accounts/shop%00/history /admin/accounts/%00 /admin/accounts/%00/picture
    /?account=%00 /connect/instagram?account=%00 /connect/%00 /connect/instagram/callback?code=%00&state=x
    /connect/instagram/callback?code=x&state=%00 /connect/instagram/callback?error=%00 /callbacks/instagram/deletions/%00
  `)
    t.match(await owner.get(path, { accept: 'text/html' }), refused, path)
  for (const [path, form] of [
    ['/admin/accounts', { name: 'a\0', provider: 'instagram' }],
    ['/admin/accounts', { name: 'a', provider: 'insta\0gram' }],
    ['/admin/accounts', { name: 'a', provider: 'instagram', token: 'IGAA\0' }],
    ['/admin/accounts/shop/token', { token: '\0' }],
    ['/admin/accounts/shop/domains', { domains: 'shop.example\0' }],
    ['/admin/accounts/shop/constant', { constant: 'A\0' }],
    ['/admin/accounts/shop/remove', { name: 'shop\0' }],
    ['/connect/instagram', { account: 'a\0' }],
    ['/connect/instagram/confirm', { answer: '\0' }],
    ['/connect/instagram/decline', { answer: '\0' }],
    ['/admin/sign-in', { password: '\0' }],
    ['/callbacks/instagram/delete', { signed_request: `${signedRequest({ algorithm: 'HMAC-SHA256', user_id: '1' })}\0` }],
  ] as [string, Record<string, string>][])
    t.match(await owner.post(path, form), refused, `${path} ${Object.keys(form)}`)
  const json = {
    'content-type': 'application/json',
    'sec-fetch-site': 'same-origin',
    cookie: [...owner.cookies].map((one) => one.join('=')).join('; '),
  }
  for (const name of ['\\ud800', 'a\\udc00b', '\\u0000']) {
    const body = `{"name":"${name}","provider":"instagram"}`
    t.equal((await agent.fetch('/admin/accounts', { method: 'POST', headers: json, body })).status, 400, name)
  }
  for (const cookie of ['token-agent-session=%00', 'token-agent-session=a%00; token-agent-device=%00'])
    t.equal((await agent.fetch('/admin', { headers: { cookie }, redirect: 'manual' })).status, 303, cookie)
  for (const path of ['/token.js?const=%00', '/accounts/%00/token.js', '/accounts/shop%00/token.json', '/nothing%00'])
    t.match(await agent.fetch(path), { status: /^40[034]$/ as unknown as number }, path)
  t.notMatch(agent.stdout(), /a request failed|invalid byte sequence/)
})

eachStore(t, 'text from elsewhere is stored without the characters that no store keeps', async (t, db) => {
  const store = createAccountStore(db)
  const event = { account: 'shop', kind: 'created', actor: 'cli', outcome: 'ok', detail: 'said\0 “\ud800”' } as const
  const account = { name: 'shop', provider: 'instagram', state: 'unverified', username: 'a\0b', lastError: '\udc00' } as const
  t.equal(await store.insert(account, event), true)
  t.match(await store.find('shop'), { username: 'a\ufffdb', lastError: '\ufffd' })
  t.match(await store.events('shop', 1), [{ detail: 'said\ufffd “\ufffd”' }])
  t.equal(await store.find('shop\0'), null)
})
