import { join } from 'node:path'
import t from 'tap'
import { runCli, startAgent } from '../support/agent.ts'
import { startFacebook } from '../support/facebook.ts'
import { startInstagram, startThreads } from '../support/instagram.ts'
import { oldRelease } from '../support/old-release.ts'
import {
  approve,
  authorizeUrlIn,
  createOwner,
  facebookSettings,
  openAgent,
  SERVER_KEY,
  settingsFor,
  threadsSettings,
} from '../support/owner.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { waitFor } from '../support/wait-for.ts'

const LATER = ['threads', 'facebook', 'tiktok']

t.test(
  'the release before serves no token of a later provider, and what it says of the account is cleared at the next start',
  async (t) => {
    const [instagram, threads, facebook, tiktok] = await Promise.all([startInstagram(), startThreads(), startFacebook(), startTikTok()])
    t.teardown(() => Promise.all([instagram, threads, facebook, tiktok].map((one) => one.close())))
    const cwd = tempFolder(t, 'roll-back')
    const env = {
      ENCRYPTION_KEY: 'a-key-for-both-releases',
      SERVER_KEYS: SERVER_KEY,
      ...threadsSettings(threads),
      ...facebookSettings(facebook),
      ...tiktokSettings(tiktok),
      ...settingsFor(instagram),
    }
    threads.apps[0]?.redirectUris.push(`https://agent.example/connect/threads/callback`)
    facebook.redirectUris.push(`https://agent.example/connect/facebook/callback`)
    const options = { cwd, instagram, env }
    const first = await createOwner(t, options)
    for (const provider of ['instagram', ...LATER]) {
      const answer = await first.owner.get(
        await approve(authorizeUrlIn(await first.owner.post(`/connect/${provider}`, { account: provider }))),
      )
      t.equal(answer.location, `/admin/accounts/${provider}?done=connected`)
    }
    const posts = await first.owner.get(await approve(authorizeUrlIn(await first.owner.post('/connect/instagram', { account: 'posts' }))))
    t.equal(posts.location, '/admin/accounts/posts?done=connected')
    await first.owner.post('/admin/accounts/posts/serves', { serves: 'feed' })
    await first.agent.close()

    const before = { cwd, cli: oldRelease(t).cli, env: { ...env, DATABASE_URL: `sqlite:${join(cwd, 'data/token-agent.sqlite')}` } }
    const old = await startAgent(t, { ...before, ready: '/readyz' })
    const statusOf = async (agent: Pick<typeof old, 'fetch'>, account: string): Promise<number> =>
      (await agent.fetch(`/accounts/${account}/token`, { headers: { authorization: `Bearer ${SERVER_KEY}` } })).status
    for (const provider of LATER) {
      t.equal(await statusOf(old, provider), 503, provider)
      await runCli(t, ['refresh', provider, '--force'], before)
    }
    t.equal(await statusOf(old, 'instagram'), 200)
    t.equal(await statusOf(old, 'posts'), 503, 'a token that never leaves the agent')
    await old.stop()
    t.equal(tiktok.calls.filter((call) => call === 'refresh').length, 0, 'it spends no refresh token')

    const next = await openAgent(t, options)
    for (const provider of [...LATER, 'posts']) {
      const code = () =>
        next.sql<{ code: string | null }>(`select last_error_code as code from accounts where name = '${provider}'`)[0]?.code
      await waitFor(`the error of ${provider} to be cleared`, () => code() === null)
      t.equal(await statusOf(next, provider), provider === 'posts' ? 403 : 200, provider)
    }
  },
)
