import t from 'tap'
import { Secret } from '../../src/core/secret.ts'
import { createOneTimePassword, createPasswordCheck, MAX_PASSWORD_LENGTH } from '../../src/sign-in/password.ts'
import { processorMs } from '../support/stopwatch.ts'

t.test('only the whole password matches, in either form of its accents, and a guess costs little processor time', async (t) => {
  const password = 'schön & lang, 8 Wörter'
  const { matches } = createPasswordCheck(new Secret(password))
  for (const right of [password, password.normalize('NFD'), `  ${password}\n`]) t.ok(matches(right))
  for (const wrong of ['', ' ', password.slice(0, -1), `${password}x`, password.toUpperCase(), 'schon & lang, 8 Worter'])
    t.notOk(matches(wrong))
  const takenMs = processorMs(() => {
    for (let guess = 0; guess < 1000; guess++) matches(`guess ${guess}`)
  })
  t.ok(takenMs < 500)
})

t.test('the longest allowed password signs in', async (t) => {
  const longest = 'ö'.repeat(MAX_PASSWORD_LENGTH)
  const { matches } = createPasswordCheck(new Secret(longest))
  t.ok(matches(longest.normalize('NFD')))
  t.notOk(matches(longest.slice(1)))
  const form = new URLSearchParams({ password: '語'.repeat(MAX_PASSWORD_LENGTH) })
  t.ok(form.toString().length < 12 * 1024, 'its form and a ticket fit into a request')
})

t.test('a one-time password works once, and credentials change with the password', async (t) => {
  const { password, check } = createOneTimePassword()
  t.notOk(check.matches('a guess'))
  t.notOk(check.isSpent())
  t.ok(check.matches(password))
  t.ok(check.isSpent())
  t.notOk(check.matches(password))
  const credentials = ['one password', 'another'].map((text) => createPasswordCheck(new Secret(text)).credential)
  t.equal(new Set([...credentials, check.credential]).size, 3)
})
