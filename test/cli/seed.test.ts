import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { runCli } from '../support/agent.ts'
import { startFacebook } from '../support/facebook.ts'
import { startInstagram, startThreads } from '../support/instagram.ts'
import { facebookSettings, settingsFor, threadsSettings } from '../support/owner.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'

/** The command line of an agent with all four providers. */
async function createShell(t: Test) {
  const [instagram, threads, tiktok, facebook] = await Promise.all([startInstagram(), startThreads(), startTikTok(), startFacebook()])
  for (const one of [instagram, threads, tiktok, facebook]) t.teardown(() => one.close())
  const cwd = tempFolder(t, 'seed')
  const env = { ...settingsFor(instagram), ...threadsSettings(threads), ...tiktokSettings(tiktok), ...facebookSettings(facebook) }
  const rows = () => {
    const db = new DatabaseSync(join(cwd, 'data/token-agent.sqlite'), { timeout: 5_000 })
    const all = db.prepare('select name, provider, version, access_token, refresh_token from accounts order by name').all()
    db.close()
    return all
  }
  const calls = () => [instagram, threads, tiktok, facebook].map((one) => one.calls.length)
  const run = (args: string, stdin = '') => runCli(t, args.split(' '), { cwd, env, stdin })
  return { instagram, threads, tiktok, facebook, cwd, env, rows, calls, run }
}

t.test('each provider takes its own kind of token, and the account of its own name', async (t) => {
  const { instagram, threads, tiktok, facebook, cwd, run, rows } = await createShell(t)
  const seeds: [args: string, token: string, account: string, says: RegExp][] = [
    ['seed --provider instagram', instagram.issue(), 'default', /as “default”/],
    ['seed --provider threads', threads.issue(), 'threads', /as “threads”/],
    ['seed --provider facebook', facebook.issue(), 'facebook', /as “facebook”/],
    ['seed --provider tiktok --refresh-token', tiktok.issue().refresh, 'tiktok', /\nNever use this refresh token anywhere else/],
    ['seed clips --provider tiktok', tiktok.issue({ userId: 'another' }).refresh, 'clips', /as “clips”/],
    ['seed threads', threads.issue(), 'threads', /as “threads”/],
  ]
  for (const [args, token, account, says] of seeds) {
    const result = await run(args, `${token}\n`)
    t.match(result, { code: 0, stdout: says, stderr: /^Store: / }, args)
    t.notOk((result.stdout + result.stderr).includes(token))
    t.ok(rows().some((row) => row['name'] === account))
  }
  t.same(
    rows().map((row) => row['provider']),
    ['tiktok', 'instagram', 'facebook', 'threads', 'tiktok'],
  )
  t.match(await run('status'), { code: 0 })
  const db = new DatabaseSync(join(cwd, 'data/token-agent.sqlite'), { timeout: 5_000 })
  db.prepare("update accounts set expires_at = ? where name = 'tiktok'").run(new Date(Date.now() + 60_000).toISOString())
  db.close()
  const before = tiktok.calls.length
  const [one, two] = await Promise.all([run('token tiktok'), run('token tiktok')])
  t.match(
    [one, two],
    [
      { code: 0, stdout: /^act\./ },
      { code: 0, stdout: one.stdout },
    ],
    'two commands at once renew it once',
  )
  t.same(tiktok.calls.slice(before), ['refresh'])
  t.same([tiktok.wrong.usesOfDead, tiktok.wrong.secretsInUrl, tiktok.wrong.overlaps], [0, 0, 0])
})

t.test('a token of another kind, another provider’s account and an unknown provider: a sentence, no call, no change', async (t) => {
  const { instagram, tiktok, facebook, cwd, env, calls, rows, run } = await createShell(t)
  const { access, refresh } = tiktok.issue()
  await run('accounts add tiktok --provider instagram')
  await run('accounts add bakery --provider tiktok')
  const [asked, kept, user] = [calls(), rows(), facebook.issue()]
  const refused: [args: string, stdin: string, code: number, says: RegExp][] = [
    ['seed shop --provider tiktok', access, 1, /is an access token, which ends within a day; give the refresh token/],
    ['seed shop --provider tiktok', instagram.issue(), 1, /is one of Meta, which TikTok does not take/],
    ['seed shop --provider facebook', refresh, 1, /is one of TikTok, which Facebook does not take/],
    ['seed shop --provider instagram', user, 1, /The token .*EAA/],
    ['seed shop --provider threads', refresh, 1, /is one of TikTok, which Threads does not take/],
    ['seed shop --provider tiktok', '', 1, /The token is empty: nothing came on standard input\. Pipe it in: .* seed shop < token\.txt/],
    ['seed shop --provider threads --refresh-token', refresh, 2, /Threads takes a long-lived access token: run .* without --refresh-token/],
    ['seed shop --provider facebook --refresh-token', user, 2, /Facebook takes a long-lived user token/],
    ['seed --provider tiktok', refresh, 1, /“tiktok” belongs to instagram, not to tiktok\. Give the new one another name/],
    ['seed bakery --provider instagram', instagram.issue(), 1, /“bakery” belongs to tiktok, not to instagram/],
    ['seed shop --provider tiktik', refresh, 2, /no provider “tiktik”.*Did you mean “tiktok”\?/],
    [`seed shop --provider ${refresh}`, '', 2, /--provider takes the name of one provider\. The argument is not repeated/],
    [`seed ${access}`, '', 2, /is not an account’s name/],
  ]
  for (const [args, stdin, code, says] of refused) {
    const result = await run(args, stdin)
    t.match(result, { code, stdout: '', stderr: says }, args)
    for (const secret of [access, refresh, user]) t.notOk(result.stderr.includes(secret), args)
  }
  t.same([calls(), rows()], [asked, kept])
  const { TIKTOK_CLIENT_KEY, TIKTOK_CLIENT_SECRET, ...without } = env
  const late = await runCli(t, ['seed', 'late', '--provider', 'tiktok'], { cwd, env: without, stdin: refresh })
  t.match(late, { code: 1, stdout: /^The token is stored, but: .*TIKTOK_CLIENT_KEY/ })
  t.match(await run('refresh late --force'), { code: 0 }, 'it was not used up')
})

t.test('a Facebook login that leads to many Pages names them and the variable that chooses', async (t) => {
  const { facebook, cwd, env, run } = await createShell(t)
  facebook.knobs.pages = 3
  const token = facebook.issue()
  t.match(await run('seed --provider facebook', token), { code: 1, stdout: /leads to 3 Instagram accounts: .*FACEBOOK_OBJECT_ID/ })
  const FACEBOOK_OBJECT_ID = facebook.instagramOf(facebook.knobs.signedInAs, 1).id
  t.match(await runCli(t, ['refresh', 'facebook', '--force'], { cwd, env: { ...env, FACEBOOK_OBJECT_ID } }), {
    code: 0,
    stdout: /refreshed/,
  })
})
