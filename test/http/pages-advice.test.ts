import t from 'tap'
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
  t.match(setup, /wrong-step" id="step-works".*hands the token out, but the provider refuses it: mend step 3/)
  t.notMatch(setup, /go on where it says|All is set up/)
  t.match(setup, /step-token.*#its-token">Connect again<.*step-sites/)
  t.match(await page(world.stranger, '/setup'), /wrong-step" id="step-works".*mend step 3/)
  t.notMatch(await page(world.stranger, '/setup'), /refuse/)
  const account = await page(world.owner, '/admin/accounts/default')
  t.match(account, /The account as it is.*id="its-token".*id="use"/, 'the token comes first where the account needs its owner')
  t.notMatch(account, /Not needed: the agent does it by itself/)
})
