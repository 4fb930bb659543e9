import t from 'tap'
import { runCli, startAgent } from './agent.ts'
import { oldRelease } from './old-release.ts'

t.test('the previous release runs from git as an agent, as a command and as a module', async (t) => {
  const { cli, load } = oldRelease(t)
  const agent = await startAgent(t, { cli, ready: '/readyz' })
  const { stdout } = await runCli(t, ['accounts', 'add', 'shop'], { cli, cwd: agent.cwd })
  t.match(stdout, /There is an account “shop” now/)
  const { createVault } = await load<typeof import('../../src/storage/vault.ts')>('storage/vault.ts')
  t.match(createVault(['a key']).keyPrefixes, [/^v1\./])
})
