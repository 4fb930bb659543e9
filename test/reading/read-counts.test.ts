import t from 'tap'
import { createReadHistory } from '../../src/reading/read-counts.ts'

const MINUTE_MS = 60_000

t.test('counts the reads of the last hour, and gives the span', async (t) => {
  const counters = { process: 0, memcached: 0, store: 0, stale: 0 }
  let nowMs = 5_000
  const readNames = new Set<string>()
  const history = createReadHistory({ counters, readNames }, () => nowMs)
  t.match(history.lastHour(), { counts: { process: 0 }, minutes: 0 })
  for (let minute = 1; minute <= 300; minute++) {
    nowMs += MINUTE_MS
    counters.process += 10
    if (minute === 200) counters.stale += 7
    history.sample()
    t.match(history.lastHour().counts.process, Math.min(600, minute * 10), `minute ${minute}`)
    t.equal(history.lastHour().counts.stale, minute >= 200 && minute < 260 ? 7 : 0)
    t.equal(history.lastHour().minutes, Math.min(60, minute))
  }
  counters.store += 3
  t.equal(history.lastHour().counts.store, 3, 'reads since the last sample count too')
})

t.test('an account has idled once its token was not given for a day', async (t) => {
  let nowMs = 0
  const readNames = new Set<string>()
  const history = createReadHistory({ counters: { process: 0, memcached: 0, store: 0, stale: 0 }, readNames }, () => nowMs)
  const later = (minutes: number): void => {
    nowMs += minutes * MINUTE_MS
    history.sample()
  }
  later(23 * 60)
  t.equal(history.hasIdled('shop'), false, 'the process is too young to know')
  later(60)
  t.equal(history.hasIdled('shop'), true)
  readNames.add('shop')
  t.equal(history.hasIdled('shop'), false, 'a read since the last sample counts too')
  later(1)
  t.equal(readNames.size, 0)
  later(23 * 60)
  t.same([history.hasIdled('shop'), history.hasIdled('blog')], [false, true])
  later(60)
  t.equal(history.hasIdled('shop'), true)
})
