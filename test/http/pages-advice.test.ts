import t from 'tap'
import { MAKE_NEW_TOKEN } from '../../src/providers/instagram/refusal.ts'
import { DEFAULT, look, page, start } from './kept-world.ts'
import { inDays } from './many-accounts.ts'

t.test('the refreshes have failed for long, and the token is close to its end', async (t) => {
  const failing = { ...DEFAULT, failureCount: 30, lastErrorCode: 'transient', lastError: 'Instagram did not answer in time.' }
  const quarter = await start(t, [{ ...failing, issuedAt: inDays(-50), expiresAt: inDays(10) }])
  const shown = await page(quarter.owner, '/status')
  t.match(
    shown,
    /The last 30 refreshes failed; the token expires in 10 days, <time[^>]*>[^<]*<\/time>\. The agent goes on trying; to be safe/,
  )
  t.match(shown, /#its-token">Connect again<.*#token">Paste a new token<.*Next try/)
  t.notMatch(shown, /need not do anything|Next refresh/)
  t.match(await page(quarter.stranger, '/status'), /Working/)

  const tenth = await start(t, [{ ...failing, issuedAt: inDays(-56), expiresAt: inDays(4) }])
  await look(t, tenth)
  for (const client of [tenth.owner, tenth.stranger]) {
    t.match(await page(client, '/status'), /big bad.*Needs attention/)
    t.match(await page(client, '/setup'), /wrong-step" id="step-token"/)
  }
  t.match(await page(tenth.owner, '/status'), /it expires soon.*is tried again in 3 days/)
  t.match(await page(tenth.owner, '/setup'), /step-token.*to be safe.*#its-token">Connect again</)
  t.notMatch(await page(tenth.stranger, '/setup'), /default<|shop<|expire/, 'the public is told nothing more')
})

t.test('the provider refuses the token for good', async (t) => {
  const refused = {
    ...DEFAULT,
    state: 'reconnect',
    failureCount: 2,
    lastErrorCode: 'reconnect',
    lastError: 'Instagram refuses it.',
  } as const
  const world = await start(t, [refused])
  await look(t, world)
  const status = await page(world.owner, '/status')
  t.notMatch(status, /What happens next|Next refresh/, 'who needs a person is not promised a refresh')
  t.match(status, /#its-token">Connect again<.*#token">Paste a new token<.*Next try/)
  const setup = await page(world.owner, '/setup')
  t.match(setup, /wrong-step" id="step-works".*hands the token out, but the provider refuses it: correct step 3/)
  t.notMatch(setup, /go on where it says|All is set up/)
  t.match(setup, /step-token.*#its-token">Connect again<.*step-sites/)
  t.match(await page(world.stranger, '/setup'), /wrong-step" id="step-works".*correct step 3/)
  t.notMatch(await page(world.stranger, '/setup'), /refuse/)
  const account = await page(world.owner, '/admin/accounts/default')
  t.match(account, /aria-label="The account".*id="its-token".*id="use"/, 'the token comes first where the account needs its owner')
  t.notMatch(account, /Not needed: the agent does it by itself/)
})

t.test('an account’s own list of web sites is what / and setup speak of', async (t) => {
  const world = await start(t, [{ ...DEFAULT, allowedDomains: 'https://blog.example' }], { ALLOWED_DOMAINS: '' })
  t.match(await page(world.stranger, '/'), /the web sites of its account/)
  t.notMatch(await page(world.stranger, '/'), /its own pages only|blog\.example/)
})

t.test('setup shows the variable that the next step is about, and to the owner the place to type instead', async (t) => {
  const open = await start(t, [DEFAULT], { ALLOWED_DOMAINS: '' })
  t.match(
    await page(open.owner, '/setup'),
    /next-step" id="step-sites".*accounts\/default#readers">Name your web site<.*ALLOWED_DOMAINS=www/,
  )
  t.match(await page(open.stranger, '/setup'), /Sign in<\/a> and type them at the account/)
  const fresh = await start(t, [], { ALLOWED_DOMAINS: '' })
  t.match(await page(fresh.owner, '/setup'), /href="\/admin#to-create">Paste the token<.*STARTING_TOKEN=IGAA/)
  t.notMatch(await page(fresh.owner, '/setup'), /Sign in/)
})

t.test('among a few accounts those that need their owner come first, then the default one', async (t) => {
  const well = ['default', 'apple', 'pear'].map((name) => ({ name, username: name }))
  const world = await start(t, [...well, { name: 'zebra', state: 'reconnect', lastErrorCode: 'reconnect', lastError: 'Refused.' }])
  const shown = await page(world.owner, '/admin')
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

t.test('an account that fails near its end is counted, found by the count’s link, in front, and warned of on its own page', async (t) => {
  const many = Array.from({ length: 45 }, (_, at) => ({ name: `shop-${at}` }))
  const refused = ['a', 'b', 'c', 'd'].map((name) => ({
    name: `z-${name}`,
    state: 'reconnect' as const,
    lastErrorCode: 'reconnect',
    lastError: 'No.',
  }))
  const world = await start(t, [...many, ...refused, { ...failing, name: 'y-failing' }])
  const status = await page(world.owner, '/status')
  t.match(status, /<a href="\/status\?show=attention">5 of your 50 accounts need you – show them<\/a>/)
  t.match(await page(world.owner, '/admin'), /<a href="\/admin\?show=attention">5 need you – show them/)
  for (const path of ['/status?show=attention', '/admin?show=attention', '/status', '/admin']) {
    const names = [...(await page(world.owner, path)).matchAll(/<(?:h3 id="[^"]+"><a|a) href="\/admin\/accounts\/([^"#]+)"/g)].map(
      (match) => match[1],
    )
    t.strictSame(new Set(names.slice(0, 5)), new Set(['z-a', 'z-b', 'z-c', 'z-d', 'y-failing']), path)
    t.equal(names.length === 5, path.includes('attention'), path)
  }
  const own = await page(world.owner, '/admin/accounts/y-failing')
  t.match(
    own,
    /class="note">\s*The last 9 refreshes failed; the token expires in 5 days, .*to be safe connect the account again\..*id="use"/,
  )
})

const REFUSED = { state: 'reconnect', failureCount: 2, lastErrorCode: 'reconnect' } as const
const DEAD = `Instagram no longer accepts the token: ${MAKE_NEW_TOKEN} (Instagram’s code 190)`

t.test('each page tells the one remedy that works here, and has the button for it', async (t) => {
  const cases = [
    { name: 'refused', ...REFUSED, lastError: DEAD },
    { name: 'expired', expiresAt: inDays(-1) },
    { name: 'switched-off', failureCount: 1, lastErrorCode: 'misconfigured', lastError: 'Meta has switched this app off.' },
    { name: 'paused', pausedAt: inDays(-1) },
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
    const { owner } = await start(t, cases, env)
    const status = await page(owner, '/status')
    const card = (name: string): string => new RegExp(`id="account-${name}">.*?</article>`).exec(status)?.[0] ?? ''
    for (const name of ['refused', 'expired'] as const) {
      const shown = [
        card(name),
        (await page(owner, `/admin/accounts/${name}`)).replace(/id="its-history".*/, ''),
        await page(owner, '/setup'),
      ]
      for (const text of shown) t.match(text, words[way][name], `${way} ${name}`)
      for (const text of shown) t.notMatch(text, /give it to the agent|give the agent a new/, `${way} ${name}`)
      t.match(
        card(name),
        `class="button main" href="/admin/accounts/${name}#${way === 'connect' ? 'its-token' : 'token'}">${words[way].button}<`,
      )
      t.equal(/>Connect again</.test(card(name)), way === 'connect')
    }
    for (const text of [card('switched-off'), await page(owner, '/setup'), await page(owner, '/admin/accounts/switched-off')])
      t.match(
        text,
        /switched this app off.*press “Try again now”.*action="\/admin\/accounts\/switched-off\/refresh">\s*<p>\s*<button class="main">Try again now/,
      )
    t.match(card('paused'), /action="\/admin\/accounts\/paused\/resume"><p><button>Switch on again/)
  }
})

t.test('setup never sends its reader to setup', async (t) => {
  for (const accounts of [
    [{ ...DEFAULT, token: null, state: 'unverified' as const }],
    [{ ...DEFAULT, expiresAt: inDays(-1) }],
    [{ ...DEFAULT, ...REFUSED, providerUserId: null }],
  ]) {
    const { owner } = await start(t, accounts)
    const setup = await page(owner, '/setup')
    t.match(setup, /id="step-works".*Needs attention.*Step 3 says what to do/)
    t.notMatch(setup, /Open \/setup|: \/setup|Is this your site/)
  }
})

t.test('one attempt is spoken of as one', async (t) => {
  const world = await start(t, [{ ...DEFAULT, attempts: ['ok'] }])
  const shown = await page(world.owner, '/status')
  t.match(shown, /The last attempt went well/)
  t.notMatch(shown, /1 attempts/)
})
