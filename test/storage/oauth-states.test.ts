import t from 'tap'
import { createOAuthStateStore } from '../../src/storage/oauth-states.ts'
import { createSignedRequests } from '../../src/storage/signed-requests.ts'
import { eachStore } from './engines.ts'

const STATE = { sessionId: 's', provider: 'instagram', account: 'default', sealed: 'v1.x' }

eachStore(t, 'a state is used once, also by two callers at once, and is emptied', async (t, db, engine) => {
  const states = createOAuthStateStore(db)
  const others = createOAuthStateStore(await engine.open())
  for (let round = 0; round < 10; round++) {
    await states.keep(`a${round}`, STATE)
    t.strictSame((await Promise.all([states.use(`a${round}`), others.use(`a${round}`)])).sort(), [false, true])
  }
  const used = await states.find('a0')
  t.match(used, { ...STATE, id: 'a0', sealed: '', tooOld: false })
  t.ok(used !== null && used.usedSecondsAgo !== null && used.usedSecondsAgo >= 0 && used.usedSecondsAgo < 60)
  t.equal(await states.find('unheard of'), null)
})

eachStore(t, 'a state is good for ten minutes; a used one is kept for ten, any other for an hour', async (t, db) => {
  const states = createOAuthStateStore(db)
  const age = (id: string, column: string, seconds: number) =>
    db.query(`update oauth_states set ${column} = ${db.dialect.nowPlus('$1')} where id = $2`, [-seconds, id])
  for (const id of ['young', 'late', 'forgotten', 'used', 'used long ago', 'question']) await states.keep(id, STATE)
  await age('late', 'created_at', 601)
  await age('forgotten', 'created_at', 3601)
  for (const id of ['used', 'used long ago', 'question']) await states.use(id)
  await age('used', 'used_at', 590)
  await age('used long ago', 'used_at', 601)
  await age('question', 'created_at', 601)
  await states.advance('question', { provider: 'instagram waits', sealed: 'v1.y' })
  await states.clear()
  const kept = await db.query<{ id: string }>('select id from oauth_states order by id')
  t.strictSame(
    kept.map(({ id }) => id),
    ['late', 'question', 'used', 'young'],
  )
  t.match(await states.find('late'), { tooOld: true })
  t.match(await states.find('question'), { tooOld: false, usedSecondsAgo: null })
  t.strictSame(
    (await states.waiting('instagram waits')).map(({ id }) => id),
    ['question'],
  )
})

eachStore(t, 'a signed call has its effect once, both or neither, and its answer goes after two days', async (t, db, engine) => {
  const [calls, others] = [createSignedRequests(db), createSignedRequests(await engine.open())]
  const event = { account: null, kind: 'erased', actor: 'provider', outcome: 'ok', detail: null } as const
  let effects = 0
  const once = (requests: typeof calls, digest: string, keepForGood = false) =>
    requests.answerOnce(digest, async ({ store, now }) => {
      await store.record(event)
      t.ok(Math.abs(now.getTime() - Date.now()) < 60_000)
      return { answer: `answer ${++effects}`, keepForGood }
    })
  t.strictSame(await Promise.all([once(calls, 'one'), once(others, 'one'), once(calls, 'one')]), ['answer 1', 'answer 1', 'answer 1'])
  const failing = calls.answerOnce('two', async ({ store }) => {
    await store.record(event)
    throw new Error('no')
  })
  await t.rejects(failing, /no/)
  t.equal((await db.query('select id from events')).length, 1, 'its effect is rolled back')
  t.equal(await once(calls, 'two'), 'answer 2', 'it may be sent again')
  await once(calls, 'for good', true)
  await db.query(`update signed_requests set at = ${db.dialect.nowPlus('$1')} where digest = 'one'`, [-2 * 86_400 - 1])
  await calls.clear()
  t.same(await db.query('select digest from signed_requests order by digest'), [{ digest: 'for good' }, { digest: 'two' }])
})
