import t from 'tap'
import { createSessionStore } from '../../src/storage/session-store.ts'
import { eachStore } from './engines.ts'

eachStore(t, 'a session ends after half an hour without a request, after twelve hours, and by end()', async (t, db) => {
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
  t.equal(await sessions.touch('used'), 'sealed for used', 'each request extends the session')
  await sessions.create('new', '')
  t.strictSame(
    (await db.query<{ id: string }>('select id from sessions order by id')).map(({ id }) => id),
    ['new', 'used'],
  )
  await sessions.endAll()
  t.equal(await sessions.touch('used'), null)
})
