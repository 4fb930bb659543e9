import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createInstallationStore } from '../../src/storage/installation.ts'
import { createSignInAttempts, createWrongPasswords } from '../../src/storage/sign-in-attempts.ts'
import { eachStore } from './engines.ts'

const DAY_SECONDS = 24 * 3600

eachStore(t, 'all instances together check one sign-in in 250 ms', async (t, db, engine) => {
  const doors = [createSignInAttempts(db), createSignInAttempts(await engine.open())]
  const knock = (n: number) => Promise.all(Array.from({ length: n }, (_, i) => doors[i % 2]?.takeTurn()))
  const pass = () => db.query(`update sign_in_attempts set blocked_until = ${db.dialect.nowPlus('$1')} where source = 'turn'`, [-0.01])
  // All start at once, so that the first to write is rarely the first to read the clock.
  const holder = await engine.open()
  const crowd = async (n: number) => {
    if (engine.name === 'sqlite') return knock(n)
    const { all } = await holder.transaction(async (tx) => {
      await tx.query('lock table sign_in_attempts in share row exclusive mode')
      const all = knock(n)
      await sleep(50)
      return { all }
    })
    return all
  }
  for (let round = 0; round < 10; round++) {
    const answers = await crowd(8)
    t.equal(answers.filter((one) => one?.taken).length, 1)
    for (const one of answers) if (one?.taken === false) t.ok(one.opensInMs >= 0 && one.opensInMs <= 250, `${one.opensInMs}`)
    await pass()
  }
  await db.query(`update sign_in_attempts set blocked_until = ${db.dialect.nowPlus('$1')}`, [DAY_SECONDS])
  t.match(await doors[1]?.takeTurn(), { taken: true }, 'a clock that was set back does not lock the owner out')
})

eachStore(t, 'a ticket is spent once, also by two callers at once', async (t, db, engine) => {
  const [one, two] = [createSignInAttempts(db), createSignInAttempts(await engine.open())]
  for (let n = 0; n < 10; n++) t.strictSame((await Promise.all([one.spend(`t${n}`), two.spend(`t${n}`)])).sort(), [false, true])
  await db.query(`update sign_in_attempts set last_at = ${db.dialect.nowPlus('$1')}`, [-61])
  await one.spend('the next')
  t.equal((await db.query('select source from sign_in_attempts')).length, 1, 'its row is deleted')
})

eachStore(t, 'a known browser has five tries an hour, until the owner signs out everywhere', async (t, db, engine) => {
  const [one, two] = [createSignInAttempts(db), createSignInAttempts(await engine.open())]
  const since = new Date(Date.now() - 60_000)
  const tries = async (device: string, n: number) => {
    const answers = await Promise.all(Array.from({ length: n }, (_, i) => (i % 2 === 0 ? one : two).takeDeviceTry(device, since)))
    return answers.filter((taken) => taken).length
  }
  t.equal(await tries('stolen', 40), 5)
  t.equal(await tries('another', 2), 2, 'each device has its own tries')
  await db.query(`update sign_in_attempts set last_at = ${db.dialect.nowPlus('$1')}`, [-3601])
  t.equal(await tries('stolen', 40), 5, 'again after an hour')
  await one.forgive('stolen')
  t.equal(await tries('stolen', 40), 5, 'and after the right password')
  await createInstallationStore(db).signOutEverywhere()
  t.equal(await tries('new', 1), 0)
  t.equal(await two.takeDeviceTry('new', new Date(Date.now() + 60_000)), true, 'one that is younger than that')
})

eachStore(t, 'a thousand wrong passwords in a day are one alert, by one instance', async (t, db, engine) => {
  const [one, two] = [createWrongPasswords(db), createWrongPasswords(await engine.open())]
  const claims = async () => (await Promise.all([one, two].map((each) => each.claimAlert(1000, 90)))).filter((claim) => claim !== null)
  const set = (column: string, source: string, seconds: number) =>
    db.query(`update sign_in_attempts set ${column} = ${db.dialect.nowPlus('$1')} where source = $2`, [seconds, source])
  t.equal(await one.ofDay(), null)
  t.strictSame([await one.add(), await two.add(), await one.add()], [1, 2, 3])
  t.strictSame(await claims(), [])
  await db.query("update sign_in_attempts set failures = 999 where source = 'wrong passwords'")
  t.strictSame((await Promise.all([one.add(), two.add()])).sort(), [1000, 1001])
  const [claim, ...others] = await claims()
  t.match(claim, { count: 1001 })
  t.ok(Math.abs((claim?.since.getTime() ?? 0) - Date.now()) < 60_000)
  t.strictSame([others, await claims()], [[], []])
  await set('blocked_until', 'wrong passwords told', -1)
  t.equal((await claims()).length, 1, 'one that never arrived is claimed again')
  await two.settleAlert('1001 wrong passwords.')
  await set('last_at', 'wrong passwords told', -DAY_SECONDS / 2)
  t.strictSame(await claims(), [])
  t.match(await db.query('select kind, detail from events'), [{ kind: 'alert_sent', detail: '1001 wrong passwords.' }])
  await db.query(`update sign_in_attempts set blocked_until = ${db.dialect.nowPlus('$1')}`, [-1])
  t.strictSame([await one.ofDay(), await claims()], [null, []])
  t.equal(await two.add(), 1, 'the next day begins with the next wrong one')
})
