import t from 'tap'
import { MAKE_NEW_TOKEN } from '../../src/providers/instagram/instagram.ts'
import { DEFAULT, inDays } from '../support/accounts.ts'
import { createOwner } from '../support/owner.ts'

t.test('refreshes have failed for long, and the token expires soon', async (t) => {
  const failing = { ...DEFAULT, failureCount: 30, lastErrorCode: 'transient', lastError: 'Instagram did not answer in time.' }
  const quarter = await createOwner(t, { accounts: [{ ...failing, issuedAt: inDays(-50), expiresAt: inDays(10) }] })
  const shown = await quarter.owner.page('/status')
  t.match(
    shown,
    /The last 30 refreshes failed; the token expires in 10 days, <time[^>]*>[^<]*<\/time>\. The agent goes on trying; to be safe/,
  )
  t.match(shown, /#its-token">Connect again<.*#token">Paste a new token<.*Next try/)
  t.notMatch(shown, /need not do anything|Next refresh/)
  t.match(await quarter.stranger.page('/status'), /Working/)

  const tenth = await createOwner(t, { accounts: [{ ...failing, issuedAt: inDays(-56), expiresAt: inDays(4) }] })
  for (const client of [tenth.owner, tenth.stranger]) {
    t.match(await client.page('/status'), /big bad.*Needs attention/)
    t.match(await client.page('/setup'), /wrong-step" id="step-token"/)
  }
  t.match(await tenth.owner.page('/status'), /it expires soon.*the agent tries to refresh the token of .*default.* in 3 days/)
  t.match(await tenth.owner.page('/setup'), /step-token.*to be safe.*#its-token">Connect again</)
  t.notMatch(await tenth.stranger.page('/setup'), /default<|shop<|expire/, 'strangers see nothing more')
})

t.test('the provider refuses the token for good', async (t) => {
  const refused = {
    ...DEFAULT,
    state: 'reconnect',
    failureCount: 2,
    lastErrorCode: 'reconnect',
    lastError: 'Instagram refuses it.',
  } as const
  const world = await createOwner(t, { accounts: [refused] })
  const status = await world.owner.page('/status')
  t.notMatch(status, /What happens next|Next refresh/, 'an account that needs a person is promised no refresh')
  t.match(status, /#its-token">Connect again<.*#token">Paste a new token<.*Next try/)
  const setup = await world.owner.page('/setup')
  t.match(setup, /wrong-step" id="step-works".*hands the token out, but the provider refuses it: correct step 3/)
  t.notMatch(setup, /go on where it says|All is set up/)
  t.match(setup, /step-token.*#its-token">Connect again<.*step-sites/)
  t.match(await world.stranger.page('/setup'), /wrong-step" id="step-works".*correct step 3/)
  t.notMatch(await world.stranger.page('/setup'), /refuse/)
  const account = await world.owner.page('/admin/accounts/default')
  t.match(account, /aria-label="The account".*id="its-token".*id="use"/, 'the token comes first if the account needs its owner')
  t.notMatch(account, /Not needed: the agent does it by itself/)
})

t.test('/ and /setup describe the account’s own list of web sites', async (t) => {
  const world = await createOwner(t, { accounts: [{ ...DEFAULT, allowedDomains: 'https://blog.example' }], env: { ALLOWED_DOMAINS: '' } })
  t.match(await world.stranger.page('/'), /the web sites of its account/)
  t.notMatch(await world.stranger.page('/'), /its own pages only|blog\.example/)
})

t.test('/setup shows the next step’s variable, and the owner also gets a link to the form', async (t) => {
  const open = await createOwner(t, { accounts: [DEFAULT], env: { ALLOWED_DOMAINS: '' } })
  t.match(
    await open.owner.page('/setup'),
    /next-step" id="step-sites".*accounts\/default#readers">Name your web site<.*ALLOWED_DOMAINS=www/,
  )
  t.match(await open.stranger.page('/setup'), /Sign in<\/a> and type them at the account/)
  const fresh = await createOwner(t, { accounts: [], env: { ALLOWED_DOMAINS: '' } })
  t.match(await fresh.owner.page('/setup'), /name="domains".*name="token".*>Save the token<.*STARTING_TOKEN=IGAA/)
  t.notMatch(await fresh.owner.page('/setup'), /Sign in/)
})

t.test('among a few accounts those that need their owner come first, then the default one', async (t) => {
  const well = ['default', 'apple', 'pear'].map((name) => ({ name, username: name }))
  const world = await createOwner(t, {
    accounts: [...well, { name: 'zebra', state: 'reconnect', lastErrorCode: 'reconnect', lastError: 'Refused.' }],
  })
  const shown = await world.owner.page('/admin')
  const names = [...shown.matchAll(/href="\/admin\/accounts\/([^"#]+)/g)].map((match) => match[1])
  t.strictSame(names, ['zebra', 'default', 'apple', 'pear'])
  t.match(shown, /href="\/admin\?show=attention">1 needs you – show it<.*expires in 56 days/)
})

const failing = {
  username: 'failing',
  issuedAt: inDays(-55),
  expiresAt: inDays(5),
  failureCount: 9,
  lastErrorCode: 'transient',
  lastError: 'Instagram did not answer in time.',
}

t.test('a failing account near its end is counted, listed first behind the count’s link, and warned of on its own page', async (t) => {
  const many = Array.from({ length: 45 }, (_, at) => ({ name: `shop-${at}` }))
  const refused = ['a', 'b', 'c', 'd'].map((name) => ({
    name: `z-${name}`,
    state: 'reconnect' as const,
    lastErrorCode: 'reconnect',
    lastError: 'No.',
  }))
  const world = await createOwner(t, { accounts: [...many, ...refused, { ...failing, name: 'y-failing' }] })
  const status = await world.owner.page('/status')
  t.match(status, /<a href="\/status\?show=attention">5 of your 50 accounts need you – show them<\/a>/)
  t.match(await world.owner.page('/admin'), /<a href="\/admin\?show=attention">5 need you – show them/)
  for (const path of ['/status?show=attention', '/admin?show=attention', '/status', '/admin']) {
    const names = [...(await world.owner.page(path)).matchAll(/<(?:h3 id="[^"]+"><a|a) href="\/admin\/accounts\/([^"#]+)"/g)].map(
      (match) => match[1],
    )
    t.strictSame(new Set(names.slice(0, 5)), new Set(['z-a', 'z-b', 'z-c', 'z-d', 'y-failing']), path)
    t.equal(names.length === 5, path.includes('attention'), path)
  }
  const own = await world.owner.page('/admin/accounts/y-failing')
  t.match(
    own,
    /class="note">\s*The last 9 refreshes failed; the token expires in 5 days, .*to be safe connect the account again\..*id="use"/,
  )
})

const REFUSED = { state: 'reconnect', failureCount: 2, lastErrorCode: 'reconnect' } as const
const DEAD = `Instagram no longer accepts the token: ${MAKE_NEW_TOKEN} (Instagram’s code 190)`

t.test('each page names the one remedy that works here, and has its button', async (t) => {
  const cases = [
    { name: 'refused', ...REFUSED, lastError: DEAD },
    { name: 'expired', expiresAt: inDays(-1) },
    { name: 'switched-off', failureCount: 1, lastErrorCode: 'misconfigured', lastError: 'Meta has switched this app off.' },
    { name: 'paused', pausedAt: inDays(-1) },
    { name: 'fine' },
  ]
  const words = {
    connect: {
      refused: /accepts the token: connect the account again\./,
      expired: /get none: connect the account again\./,
      button: 'Connect again',
    },
    paste: {
      refused: /make a new token in the app dashboard .* and paste it here\./,
      expired: /get none: paste a new token\./,
      button: 'Paste a new token',
    },
  }
  for (const [way, env] of [
    ['connect', {}],
    ['paste', { INSTAGRAM_APP_ID: '', INSTAGRAM_APP_SECRET: '' }],
  ] as const) {
    const { owner } = await createOwner(t, { accounts: cases, env: env })
    const status = await owner.page('/status')
    const card = (name: string): string => new RegExp(`id="account-${name}">.*?</article>`).exec(status)?.[0] ?? ''
    for (const name of ['refused', 'expired'] as const) {
      const shown = [
        card(name),
        (await owner.page(`/admin/accounts/${name}`)).replace(/id="its-history".*/, ''),
        await owner.page('/setup'),
      ]
      for (const text of shown) t.match(text, words[way][name], `${way} ${name}`)
      for (const text of shown) t.notMatch(text, /give it to the agent|give the agent a new/, `${way} ${name}`)
      t.match(
        card(name),
        `class="button main" href="/admin/accounts/${name}#${way === 'connect' ? 'its-token' : 'token'}">${words[way].button}<`,
      )
      t.equal(/>Connect again</.test(card(name)), way === 'connect')
    }
    for (const text of [card('switched-off'), await owner.page('/setup'), await owner.page('/admin/accounts/switched-off')])
      t.match(
        text,
        /switched this app off.*press “Try again now”.*action="\/admin\/accounts\/switched-off\/refresh">\s*<p>\s*<button class="main">Try again now/,
      )
    const mainOf = async (name: string) =>
      [...(await owner.page(`/admin/accounts/${name}`)).matchAll(/<button class="main">([^<]+)</g)].map(([, text]) => text)
    t.strictSame(await mainOf('paused'), ['Switch on again'], 'the next sensible thing')
    t.strictSame(await mainOf('fine'), [])
    t.strictSame(await mainOf('refused'), way === 'connect' ? ['Connect Instagram again'] : [])
    t.match(card('paused'), /action="\/admin\/accounts\/paused\/resume"><p><button>Switch on again/)
  }
})

t.test('/setup never refers to /setup', async (t) => {
  for (const accounts of [
    [{ ...DEFAULT, token: null, state: 'unverified' as const }],
    [{ ...DEFAULT, expiresAt: inDays(-1) }],
    [{ ...DEFAULT, ...REFUSED, providerUserId: null }],
  ]) {
    const { owner } = await createOwner(t, { accounts: accounts })
    const setup = await owner.page('/setup')
    t.match(setup, /id="step-works".*Needs attention.*Step 3 says what to do/)
    t.notMatch(setup, /Open \/setup|: \/setup|Is this your site/)
  }
})

t.test('one attempt is written in the singular', async (t) => {
  const world = await createOwner(t, { accounts: [{ ...DEFAULT, attempts: ['ok'] }] })
  const shown = await world.owner.page('/status')
  t.match(shown, /The last attempt went well/)
  t.notMatch(shown, /1 attempts/)
})
