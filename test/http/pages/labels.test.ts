import t from 'tap'
import { labels } from '../../../src/http/pages/labels.ts'

t.test('a failing account whose token works is “trying again”', async (t) => {
  t.same(labels.conditionLabel({ condition: 'working', failureCount: 0 }), { icon: 'good', word: 'working' })
  t.same(labels.conditionLabel({ condition: 'working', failureCount: 3 }), { icon: 'wait', word: 'trying again' })
  t.same(labels.conditionLabel({ condition: 'needs you', failureCount: 3 }), { icon: 'bad', word: 'needs you' })
})

t.test('only parts in use have a tile, and only a part that is down states the consequence', async (t) => {
  const since = new Date(0)
  const tiles = labels.partTiles({ store: { state: 'down', since }, encryption: { state: 'every token opens', since } })
  t.match(tiles, [
    { title: 'Database', label: { icon: 'bad' }, consequence: /nothing is refreshed/ },
    { title: 'Encryption key', label: { icon: 'good' }, consequence: '' },
  ])
  t.match(labels.partTiles({ encryption: { state: 'something else', since } }), [
    { label: { word: 'Needs attention' }, consequence: /ENCRYPTION_KEY/ },
  ])
})

t.test('the navigation marks this page, or the accounts for each page below them', async (t) => {
  const current = (path: string) => labels.navLinks(path).map(({ current }) => current)
  t.same(current('/setup'), [null, 'page', null, null])
  t.same(current('/admin'), [null, null, null, 'page'])
  t.same(current('/connect/instagram'), [null, null, null, 'true'])
  t.same(current(''), [null, null, null, null])
})

t.test('a step is marked by its state, else by its number', async (t) => {
  t.same(
    (['done', 'wrong', 'next', 'later'] as const).map((state) => labels.stepMark(state, 4)),
    ['✓', '!', '4', '4'],
  )
})
