import t from 'tap'
import { findDeletion } from '../../src/accounts/deauthorize.ts'
import type { RecordedEvent } from '../../src/core/account-store.ts'
import { marked } from '../../src/core/vault.ts'
import { createVault } from '../../src/storage/vault.ts'

const ID = '0123456789abcd0123456789abcdef'
const EVENT = { id: ID, at: new Date(0), account: null, kind: 'erased', actor: 'provider', outcome: 'ok', detail: null } as const

t.test('a made-up deletion code costs no look-up; unmarked ones of the previous release are looked up few at a time', async (t) => {
  const vault = createVault(['the new key', 'the old key'])
  const asked: ((event: RecordedEvent | null) => void)[] = []
  const findEvent = () => new Promise<RecordedEvent | null>((resolve) => void asked.push(resolve))
  const find = (code: string) => findDeletion({ store: { findEvent }, vault }, code)
  const other = createVault(['another key'])
  for (const code of ['', 'x'.repeat(62), `${ID}${'0'.repeat(32)}`, marked(other, 'deletion code', ID), marked(vault, 'oauth state', ID)])
    t.equal(await find(code), null, code)
  t.equal(asked.length, 0)
  const old = [find(ID), find(ID)]
  await t.rejects(find(ID), { code: 'unavailable' })
  const ours = find(marked(createVault(['the old key']), 'deletion code', ID))
  t.equal(asked.length, 3, 'a marked code waits for none of them, even under an older key')
  for (const answer of asked) answer(EVENT)
  t.strictSame(await Promise.all([...old, ours]), Array(3).fill({ at: new Date(0), isDone: true }))
})
