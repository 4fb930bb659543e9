import fc from 'fast-check'
import t from 'tap'
import { answerIn, readPastedAnswer } from '../../src/cli/pasted-answer.ts'

const REDIRECT = 'https://localhost:3764/'
const EXPECTED = {
  redirectUri: REDIRECT,
  authorizePage: 'https://www.instagram.com/oauth/authorize',
  secretIn: (text: string) => (text.includes('an-app-secret') ? 'INSTAGRAM_APP_SECRET' : null),
}
const read = (text: string) => readPastedAnswer(text, EXPECTED)

/** Codes as the providers write them: letters, digits and marks that addresses encode. */
const code = fc
  .stringMatching(/^[\w.!~*-]{8,200}$/)
  .filter((text) => !/^(?:IG[A-Z]{2}|EAA|TH[A-Z]{2}|act\.|rft\.|clt\.|localhost)/.test(text))
const state = fc.stringMatching(/^[\w-]{43}$/)

t.test('each spelling of the answer is read', async (t) => {
  const around = fc.constantFrom(...(['', '"', '“”', "'", '<>', '  '] as const))
  const tail = fc.constantFrom('', '#_', '#_=_')
  fc.assert(
    fc.property(code, state, around, tail, (value, own, [open = '', close = open], end) => {
      const params = new URLSearchParams({ code: value, state: own })
      const wrapped = (text: string) => `${open}${text}${end}${close}`
      for (const text of [
        `${REDIRECT}?${params}`,
        `localhost:3764/?${params}`,
        `?${params}`,
        `${params}`,
        `state=${own}&code=${encodeURIComponent(value)}`,
      ]) {
        const { answer } = read(wrapped(text))
        if (answer?.code !== value || answer.state !== own) return false
      }
      return [value, encodeURIComponent(value), `code=${encodeURIComponent(value)}`].every((text) => {
        const { answer } = read(wrapped(text))
        return answer?.code === value && answer.state === undefined
      })
    }),
    { numRuns: 500 },
  )
  t.same(read(`${REDIRECT}?error=access_denied&error_description=No+way&state=s`).answer, {
    state: 's',
    error: 'access_denied',
    errorDescription: 'No way',
    scopes: undefined,
    code: undefined,
  })
  t.same(answerIn(new URL(`${REDIRECT}favicon.ico`)), {})
})

t.test('a code is decoded once', async (t) => {
  t.equal(read(`${REDIRECT}?code=a%252Fb&state=s`).answer?.code, 'a%2Fb')
  t.equal(read('abcdefgh%252Fb').answer?.code, 'abcdefgh%2Fb')
})

t.test('what is no answer is refused with a reason that does not repeat it', async (t) => {
  const refused: [string, RegExp][] = [
    ['', /Nothing was pasted/],
    ['https://www.instagram.com/oauth/authorize?client_id=1&state=s', /This is the address to open/],
    ['https://evil.example/?code=abcdefgh&state=s', /must begin with https:\/\/localhost:3764\//],
    ['http://localhost:3764/?code=abcdefgh&state=s', /must begin with/],
    ['https://localhost:3765/?code=abcdefgh&state=s', /must begin with/],
    ['https://localhost:3764/more?code=abcdefgh&state=s', /must begin with/],
    ['https://me@localhost:3764/?code=abcdefgh&state=s', /must begin with/],
    ['https://localhost:3764.evil.example/?code=abcdefgh', /must begin with/],
    ['javascript://localhost/?code=abcdefgh', /must begin with/],
    ['https://[', /must begin with/],
    [`${REDIRECT}?state=s`, /no code in it/],
    [`${REDIRECT}?code=one&code=two&state=s`, /no code in it/],
    ['IGAAabcdefghijk', /This is a token.*command seed/],
    ['EAAabcdefghijk', /This is a token/],
    ['THAAabcdefghijk', /This is a token/],
    ['act.abcdefgh', /This is a token/],
    ['rft.abcdefgh', /This is a token/],
    ['an-app-secret', /value of INSTAGRAM_APP_SECRET/],
    [`${REDIRECT}?code=an-app-secret&state=s`, /value of INSTAGRAM_APP_SECRET/],
    ['abc def', /blank or a line break/],
    ['{"code":"abcdefgh"}', /neither an address nor a code/],
    ['%E0%A4%A', /neither an address nor a code/],
    ['x'.repeat(9_000), /far too long/],
  ]
  for (const [text, reason] of refused) {
    const { answer, problem } = read(text)
    t.equal(answer, null, text.slice(0, 40))
    t.match(problem, reason)
    if (text.length > 3) t.notOk(problem?.includes(text))
  }
})

t.test('no text makes it throw, and no address of another host is an answer', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl({ withQueryParameters: true })), (text) => {
      const { answer } = read(text)
      return answer === null || !/^[a-z]+:\/\//i.test(text.trim()) || text.trim().startsWith(REDIRECT)
    }),
    { numRuns: 5_000 },
  )
})
