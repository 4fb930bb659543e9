import t from 'tap'
import { pictureOf } from '../support/instagram-pictures.ts'
import { connect, createClient, createOwner, type OwnerWorld, signedRequest } from '../support/owner.ts'
import { startStopwatch } from '../support/stopwatch.ts'

const USER = '17841400000000001'
const OTHER = '17841400000000003'
const PICTURE = '/admin/accounts/default/picture'

/** The address of the account's picture on a page, and its answer. */
async function look({ owner, agent }: OwnerWorld, page = '/status', account = 'default') {
  const { text } = await owner.get(page)
  const path = new RegExp(
    `<img class="avatar" src="([^"]*/${account}/picture[^"]*)"\\s+alt="" width="44" height="44" loading="lazy">`,
  ).exec(text)?.[1]
  return { path: path ?? '', ...(await fetched({ owner, agent }, path ?? '/no-picture')) }
}

async function fetched({ owner, agent }: Pick<OwnerWorld, 'owner' | 'agent'>, path: string) {
  const cookie = [...owner.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  const response = await agent.fetch(path, { headers: { cookie, 'sec-fetch-dest': 'image' }, redirect: 'manual' })
  const bytes = Buffer.from(await response.arrayBuffer())
  return { status: response.status, type: response.headers.get('content-type'), headers: response.headers, bytes }
}

const PNG = { status: 200, type: 'image/png' }
const LETTER = { status: 200, type: 'image/svg+xml; charset=utf-8' }

t.test('every page with an account shows the owner its picture from the agent itself', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: USER } })
  await connect(world.owner)
  world.instagram.knobs.signedInAs = OTHER
  await connect(world.owner, 'shop')
  for (const page of ['/status', '/admin']) {
    for (const [account, userId] of [
      ['default', USER],
      ['shop', OTHER],
    ] as const) {
      const seen = await look(world, page, account)
      t.match(seen, { ...PNG, path: `/admin/accounts/${account}/picture?of=${userId}` }, `${account} on ${page}`)
      t.ok(pictureOf(userId).equals(seen.bytes))
    }
  }
  const { headers } = await look(world, '/admin/accounts/default')
  t.strictSame(
    ['cache-control', 'vary', 'content-security-policy', 'x-content-type-options', 'cross-origin-resource-policy', 'set-cookie'].map(
      (name) => headers.get(name),
    ),
    ['private, max-age=86400', 'cookie', "default-src 'none'; frame-ancestors 'none'; sandbox", 'nosniff', 'same-origin', null],
  )
  t.equal(world.instagram.counts['/picture'], 2, 'each is fetched once')
})

t.test('an account without a picture at its provider gets its letter', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: USER, pictureUrl: 'absent' } })
  await world.owner.post('/admin/accounts', { name: 'blog', provider: 'instagram' })
  await connect(world.owner)
  const seen = await look(world)
  t.match(seen, LETTER)
  t.match(seen.bytes.toString(), />U<\/text><\/svg>$/, 'of the name at the provider')
  t.equal(seen.headers.get('cache-control'), 'private, max-age=60')
  t.equal(seen.headers.get('content-security-policy'), "default-src 'none'; frame-ancestors 'none'; sandbox")
  const without = await look(world, '/admin', 'blog')
  t.match(without, { ...LETTER, path: '/admin/accounts/blog/picture' })
  t.match(without.bytes.toString(), />B<\/text><\/svg>$/, 'or of the account')
  t.strictSame(world.instagram.counts['/picture'], undefined)
})

t.test('while the provider is down or hangs the letter is shown, and no page waits longer', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: USER }, env: { LOG_LEVEL: 'trace' } })
  await connect(world.owner)
  const { instagram, agent, owner } = world
  instagram.fail('/picture', { kind: 'answer', body: '<!doctype html><script>alert(1)</script>' })
  for (let looks = 0; looks < 5; looks++) t.match(await look(world), LETTER)
  t.equal(instagram.counts['/picture'], 1, 'the provider is not called for each page')
  t.match(agent.stdout(), /"account":"default".*shown without its picture: [^"]*neither JPEG/)

  await connect(owner, 'slow')
  instagram.fail('/me', 'hang')
  const takenMs = startStopwatch()
  const waiting = look(world, '/status', 'slow')
  t.match(await owner.get('/status'), { status: 200 })
  t.ok(takenMs() < 4_500, 'the page is there before the provider’s five seconds are over')
  t.match(await waiting, LETTER)
  t.ok(takenMs() < 4_500, 'the letter, too')
  for (const token of instagram.issued.keys()) t.notOk(agent.stdout().includes(token), 'no token in the log')
  t.notMatch(agent.stdout(), instagram.url, 'nor an address of the provider')
})

t.test('after another user takes an account over, the old picture is gone', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: USER } })
  const { owner, instagram } = world
  await connect(owner)
  t.match(await look(world), { ...PNG, path: `${PICTURE}?of=${USER}` })
  instagram.fail('/picture', 'html502')
  const token = instagram.issue({ userId: OTHER })
  t.match(await owner.post('/admin/accounts/default/token', { token, otherUser: 'yes' }), { status: 303 })
  t.match(await look(world), { ...LETTER, path: `${PICTURE}?of=${OTHER}` })
  instagram.heal()

  t.comment('a page from before may still ask for the old one: the browser must not keep the answer as that')
  await connect(owner, 'second')
  const late = await fetched(world, `/admin/accounts/second/picture?of=${OTHER}`)
  t.match(late, PNG)
  t.equal(late.headers.get('cache-control'), 'private, max-age=60')
})

t.test('the picture of a removed account, and of a user who wants erasure, is forgotten', async (t) => {
  for (const how of ['removed', 'erased']) {
    const world = await createOwner(t, { knobs: { signedInAs: USER } })
    const { owner, instagram, agent } = world
    await connect(owner)
    t.match(await look(world), PNG)
    if (how === 'removed') await owner.post('/admin/accounts/default/remove', { name: 'default' })
    else {
      const body = new URLSearchParams({ signed_request: signedRequest({ algorithm: 'HMAC-SHA256', user_id: USER }) })
      t.equal((await agent.fetch('/callbacks/instagram/delete', { method: 'POST', body })).status, 200)
    }
    await connect(owner)
    instagram.fail('/picture', 'html502')
    t.match(await look(world), { ...LETTER, path: `${PICTURE}?of=${USER}` }, how)
  }
})

t.test('only the signed-in owner gets pictures, and their requests keep no session alive', async (t) => {
  const world = await createOwner(t, { knobs: { signedInAs: USER } })
  const { owner, instagram, agent } = world
  await connect(owner)
  const stranger = createClient(agent)
  for (const path of [PICTURE, `${PICTURE}?of=${USER}`, '/admin/accounts/nobody/picture']) {
    const refused = await stranger.get(path)
    t.match(refused, { status: 303, location: '/admin/sign-in', text: '' }, path)
    t.equal(refused.headers.get('cache-control'), 'no-store')
  }
  t.notMatch((await stranger.get('/status')).text, /picture/)
  t.equal(instagram.counts['/picture'], undefined, 'the provider was not called')
  t.match(await owner.get('/admin/accounts/nobody/picture'), { status: 404 })
  t.match(await owner.get(`${PICTURE}?of=${'1'.repeat(41)}`), { status: 400 })

  const seenAt = () => agent.sql<Record<string, unknown>>('select last_seen_at as at from sessions')[0]?.['at']
  agent.sql("update sessions set last_seen_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-20 minutes')")
  const before = seenAt()
  t.match(await fetched(world, PICTURE), PNG)
  t.equal(seenAt(), before)
  await owner.get('/admin')
  t.not(seenAt(), before, 'a person does')
})
