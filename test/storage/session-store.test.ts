import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createOAuthStateStore, createSessionStore, createSignInAttempts } from '../../src/storage/session-store.ts'
import { eachStore } from './engines.ts'

eachStore(t, 'a session ends after half an hour without a sign of life, after twelve hours, and when it is told to', async (t, db) => {
  const sessions = createSessionStore(db)
  const age = (id: string, column: string, seconds: number) =>
    db.query(`update sessions set ${column} = ${db.dialect.nowPlus('$2')} where id = $1`, [id, -seconds])
  for (const id of ['idle', 'old', 'used', 'ended']) await sessions.create(id, `sealed for ${id}`)
  t.equal(await sessions.touch('used'), 'sealed for used')
  t.equal(await sessions.touch('unheard of'), null)
  await age('idle', 'last_seen_at', 31 * 60)
  await age('used', 'last_seen_at', 29 * 60)
  await age('old', 'created_at', 12 * 3600 + 1)
  await sessions.end('ended')
  t.equal(await sessions.touch('idle'), null)
  t.equal(await sessions.touch('old'), null)
  t.equal(await sessions.touch('ended'), null)
  t.equal(await sessions.touch('used'), 'sealed for used')
  await age('used', 'last_seen_at', 29 * 60)
  t.equal(await sessions.touch('used'), 'sealed for used', 'each sign of life counts')
  await sessions.create('new', '')
  t.strictSame(
    (await db.query<{ id: string }>('select id from sessions order by id')).map(({ id }) => id),
    ['new', 'used'],
  )
  await sessions.endAll()
  t.equal(await sessions.touch('used'), null)
})

eachStore(t, 'a state is given out once, also where two come with it at the same moment', async (t, db, engine) => {
  const states = createOAuthStateStore(db)
  const others = createOAuthStateStore(await engine.open())
  const state = { sessionId: 's', provider: 'instagram', account: 'default', sealed: 'v1.x' }
  for (let round = 0; round < 10; round++) {
    await states.keep(`a${round}`, state)
    const taken = await Promise.all([states.take(`a${round}`), others.take(`a${round}`)])
    t.strictSame(
      taken.filter((one) => one !== null),
      [{ ...state, tooOld: false }],
    )
  }
  t.equal(await states.take('a0'), null)
  await states.keep('late', state)
  await db.query(`update oauth_states set created_at = ${db.dialect.nowPlus('$1')}`, [-601])
  t.match(await states.take('late'), { tooOld: true })
})

eachStore(t, 'guesses from everywhere are slowed together, and nobody is locked out for longer than a minute', async (t, db, engine) => {
  const doors = [createSignInAttempts(db), createSignInAttempts(await engine.open())]
  const knock = (n: number, source = 'everybody') => Promise.all(Array.from({ length: n }, (_, i) => doors[i % 2]?.begin(source)))
  const allowed = (answers: Awaited<ReturnType<typeof knock>>) => answers.filter((one) => one?.allowed).length
  const pass = (seconds: number) =>
    db.query(`update sign_in_attempts set blocked_until = ${db.dialect.nowPlus('$1')} where source = 'everybody'`, [-seconds])

  // Let go at the same moment, so that the first to write is seldom the first to have read the clock.
  const holder = await engine.open()
  const crowd = async <T>(come: () => Promise<T>): Promise<T> => {
    if (engine.name === 'sqlite') return come()
    const { all } = await holder.transaction(async (tx) => {
      await tx.query('lock table sign_in_attempts in share row exclusive mode')
      const all = come()
      await sleep(50)
      return { all }
    })
    return all
  }

  const first = allowed(await knock(40))
  t.ok(first >= 6 && first <= 7, `of 40 at once the first few are let in: ${first}`)
  for (let round = 0; round < 12; round++) {
    await pass(1)
    t.equal(allowed(await knock(10)), 1, 'then one for each wait')
  }
  const refused = await doors[0]?.begin('everybody')
  t.match(refused, { allowed: false })
  t.ok(refused?.allowed === false && refused.waitSeconds > 30 && refused.waitSeconds <= 60)
  t.match(await doors[1]?.begin('a browser that was let in before'), { allowed: true }, 'does not wait for others')

  const afterSuccess: number[] = []
  for (let round = 0; round < 20; round++) {
    await doors[1]?.succeed('everybody')
    afterSuccess.push(allowed(await crowd(() => knock(5))))
  }
  t.strictSame([...new Set(afterSuccess)], [5], 'the right password ends the wait')
  await knock(10)
  await pass(1)
  await db.query(`update sign_in_attempts set last_at = ${db.dialect.nowPlus('$1')}`, [-3601])
  t.equal(allowed(await knock(5)), 5, 'so does an hour')
})
