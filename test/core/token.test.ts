import fc from 'fast-check'
import t from 'tap'
import { tokenProblem } from '../../src/core/token.ts'

t.test('accepts any visible ASCII up to 8 KB', async (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)), minLength: 1, maxLength: 300 }),
      (token) => {
        const isQuoted = /^["'].*["']$/.test(token)
        return (tokenProblem(token) === null) === !isQuoted
      },
    ),
  )
  t.equal(tokenProblem('x'.repeat(8192)), null)
  t.equal(tokenProblem('IGAA"in\'side</script>'), null)
})

t.test('each malformed token gets its own reason', async (t) => {
  const wrong: [string, RegExp][] = [
    ['', /is empty/],
    ['x'.repeat(8193), /8193 characters long/],
    ['"IGAAx"', /stands in quotes/],
    ["'IGAAx'", /stands in quotes/],
    ['“IGAAx”', /stands in quotes/],
    ['IGAA x', /a space or a line break/],
    ['IGAAx\n', /a space or a line break/],
    ['IGAA\r\nx', /a space or a line break/],
    ['IGAA\u00a0x', /a space or a line break/],
    ['IGAA\u2028x', /a space or a line break/],
    ['IGAA\0x', /no token has/],
    ['IGAAé', /no token has/],
    ['IGAA\u200bx', /no token has/],
    ['IGAA\u007f', /no token has/],
    ['IGAA…', /no token has/],
  ]
  for (const [token, problem] of wrong) t.match(tokenProblem(token), problem)
})

t.test('no reason repeats the token', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 24, maxLength: 300 }), (noise) => {
      const token = `IGAAcanary${noise}`
      return !(tokenProblem(token) ?? '').includes('canary')
    }),
  )
})
