import t from 'tap'
import { createBoundedLookUps } from '../../src/reading/bounded-look-up.ts'

t.test('two look-ups run, a hundred wait, and the next one is refused at once', async (t) => {
  const bounded = createBoundedLookUps()
  const ends: (() => void)[] = []
  let most = 0
  let running = 0
  const lookUp = async (): Promise<string> => {
    most = Math.max(most, ++running)
    await new Promise<void>((resolve) => ends.push(resolve))
    running--
    if (ends.length % 3 === 0) throw new Error('no answer')
    return 'found'
  }
  const asked = Array.from({ length: 102 }, () => bounded(lookUp).catch((error: Error) => error.message))
  await t.rejects(bounded(lookUp), { code: 'busy', message: /Try again in a few seconds/ })
  for (let at = 0; at < 102; at++) {
    ends[at]?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal((await Promise.all(asked)).length, 102, 'each has its turn, even after a failure')
  t.equal(most, 2)
  t.equal(await bounded(async () => 'free again'), 'free again')
})
