import t from 'tap'
import { runCli } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { settingsFor } from '../support/owner.ts'

t.test('feed shows, fetches and empties feeds; accounts set-serves and set-open decide what sites get', async (t) => {
  const instagram = await startInstagram({ knobs: { postPictures: 'own', mediaCount: 4 } })
  t.teardown(() => instagram.close())
  const cwd = t.testdir()
  const env = settingsFor(instagram)
  const run = (args: string, stdin?: string) => runCli(t, args.split(' '), { cwd, env, ...(stdin === undefined ? {} : { stdin }) })
  const token = instagram.issue({ username: 'the.shop' })
  t.match(await run('feed'), { code: 1, stderr: /no store at/ })
  t.match(await run('seed', token), { code: 0 })
  t.match(await run('accounts add clips --provider tiktok'), { code: 0 })
  t.match(await run('feed'), { code: 0, stdout: /^default {2}no reader yet\n$/ })
  t.match(await run('feed --fetch'), { code: 0, stdout: /fetched, and the feed shows them/ })
  t.match(await run('feed default --fetch'), { code: 0, stdout: /nothing has changed/ })
  t.match(await run('feed'), {
    stdout: /^default {2}4 posts, \d+ KB, changed just now, fetched just now, read just now, next in \d+ minutes\n$/,
  })
  const [json] = JSON.parse((await run('feed --json')).stdout)
  t.match(json, { name: 'default', provider: 'instagram', serves: 'both', isChosen: false, isOpen: false, postCount: 4, isFailing: false })
  t.match(await run('accounts set-serves default feed'), {
    code: 0,
    stdout: /the feed alone.*\nWho has read the token before can use it until/s,
  })
  t.match(await run('accounts set-serves default all'), { code: 2, stderr: /takes “token” or “both” or “feed” or nothing/ })
  t.match(await run('accounts set-open default'), { code: 2, stderr: /takes “on” or “off” after the account’s name/ })
  t.match(await run('accounts set-open default on'), { code: 0, stdout: /Any web site may read the feed/ })
  t.match(await run('feed default'), { stdout: /open to any web site/ })
  t.match(await run('accounts list --json').then(({ stdout }) => JSON.parse(stdout)[1]), {
    name: 'default',
    serves: 'feed',
    feedOpen: true,
  })
  instagram.fail('/me/media', 'serviceTrouble')
  t.match(await run('feed default --fetch'), { code: 1, stdout: '', stderr: /Instagram/ })
  t.match(await run('feed default --clear'), { code: 0, stdout: /“default” is empty/ })
  t.match(await run('accounts set-serves default'), { code: 0, stdout: /the feed, and the token of “default”, as FEED_MODE says/ })
  t.match(await run('accounts set-serves clips feed'), { code: 1, stderr: /TikTok gives no posts/ })
  t.match(await run('feed clips'), { code: 0, stdout: /only Instagram and Threads give posts/ })
  t.match(await run('feed shpo'), { code: 1, stderr: /no account of this name/ })
  for (const name of ['default', 'clips']) t.match(await run(`accounts remove ${name}`), { code: 0 })
  t.match(await run('feed'), { code: 0, stdout: /There is no account yet\. Store a token with: .*seed/ })
})
