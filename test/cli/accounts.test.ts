import t, { type Test } from 'tap'
import { runCli, startAgent } from '../support/agent.ts'
import { startInstagram } from '../support/instagram.ts'
import { settingsFor } from '../support/owner.ts'
import { waitFor } from '../support/wait-for.ts'

/** One folder, one stand-in for Instagram, and the command line. */
async function setUp(t: Test) {
  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const cwd = t.testdir()
  const env = settingsFor(instagram)
  const run = (args: string, stdin?: string) => runCli(t, args.split(' '), { cwd, env, ...(stdin === undefined ? {} : { stdin }) })
  return { instagram, cwd, env, run }
}

t.test('without a browser: add, seed, settings, default, serve, remove', async (t) => {
  const { instagram, cwd, env, run } = await setUp(t)
  t.match(await run('accounts add shop'), { code: 0, stdout: /token-agent seed shop/, stderr: '' })
  t.match(await run('accounts add shop'), { code: 1, stderr: /choose another name/ })
  t.match(await run('seed shop', `${instagram.issue({ username: 'the.shop' })}\n`), { code: 0, stdout: /stored as “shop”/ })
  t.match(await run('seed', instagram.issue({ life: 'short', ageSeconds: 9 })), { code: 0, stdout: /exchanged for a long-lived one/ })
  t.match(await run('accounts set-domains shop blog.example *.blog.example'), { code: 0 })
  t.match(await run('accounts set-domains shop *.github.io'), { code: 1, stderr: /everybody’s site/ })
  t.match(await run('accounts set-constant shop ShopToken'), { code: 0 })
  t.match(await run('accounts set-default shop'), { code: 0 })
  const listed = await run('accounts list')
  t.match(
    listed.stdout,
    /^working {2}shop\* +instagram {2}@the\.shop +https:\/\/blog\.example https:\/\/\*\.blog\.example {2}ShopToken +web sites and servers$/m,
  )
  const json = JSON.parse((await run('accounts list --json')).stdout)
  t.match(json, [
    { name: 'default', isDefault: false, token: /^IGAA..… \(\d+ characters\)$/ },
    { name: 'shop', isDefault: true, allowedDomains: 'https://blog.example https://*.blog.example', jsConstant: 'ShopToken' },
  ])

  const agent = await startAgent(t, { ready: '/readyz', cwd, env })
  const read = async (path: string, origin: string) => {
    const response = await agent.fetch(path, { headers: { origin } })
    return `${response.status} ${await response.text()}`
  }
  t.match(await read('/token.js', 'https://www.blog.example'), /^200 .*"ShopToken"/)
  t.match(await read('/token.js', 'https://shop.example'), /^403/)
  t.match(await read('/accounts/default/token.js', 'https://shop.example'), /^200 .*"InstagramToken"/)
  t.match(await run('accounts pause shop'), { code: 0 })
  const refused = (origin: string, words: RegExp) =>
    waitFor('the read to be refused', async () => words.test(await read('/token.js', origin)), { timeoutMs: 3_000 })
  await refused('https://www.blog.example', /^503/)
  t.match(await run('accounts resume shop'), { code: 0 })
  t.match(await run('accounts remove shop --revoke'), { code: 0, stdout: /history stays/ })
  t.equal([...instagram.issued.values()].find((one) => one.userId !== '' && one.endedBy === 'revoked')?.endedBy, 'revoked')
  // No other account takes its place.
  await refused('https://shop.example', /^503 .*no token yet/s)
  t.match(await run('accounts remove shop'), { code: 1, stderr: /no account of this name\. “accounts list” shows all\.\n$/ })
  for (const typed of ['defualt', 'defaul', 'efault'])
    t.match(await run(`accounts pause ${typed}`), { code: 1, stderr: /no account of this name\. Did you mean “default”\?\n$/ })
})

t.test('a misunderstood command shows its usage and opens nothing', async (t) => {
  const { run } = await setUp(t)
  t.match(await run('accounts'), { code: 2, stdout: '', stderr: /takes one of list, add, remove/ })
  for (const help of ['--help', 'help']) t.match(await run(`accounts ${help}`), { code: 0, stdout: /accounts set-domains/ })
  t.match(await run('accounts pause nobody'), { code: 1, stderr: /no store at/ })
})
