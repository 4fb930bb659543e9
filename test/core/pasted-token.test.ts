import fc from 'fast-check'
import t from 'tap'
import { readPastedToken } from '../../src/core/pasted-token.ts'
import { instagram } from '../../src/providers/instagram/module.ts'

const TOKEN = `IGAA${'Ab0_-'.repeat(30)}ZDZD`
const read = (text: string) => readPastedToken(text, instagram.mistakes)

const FOUND: readonly string[] = [
  TOKEN,
  `  ${TOKEN}\r\n`,
  `\ufeff${TOKEN}\u200b`,
  ...['""', "''", '``', '“”', '„“', '‘’', '«»', '‹›', '""'].map((pair) => `${pair[0]}${TOKEN}${pair[1]}`),
  `"'${TOKEN}'"`,
  `\\"${TOKEN}\\"`,
  `${TOKEN};`,
  `"${TOKEN}",`,
  `<${TOKEN}>`,
  `access_token=${TOKEN}`,
  `access_token=${TOKEN}&expires_in=5183944`,
  `?access_token=${TOKEN}#_=_`,
  `ACCESS_TOKEN = "${TOKEN}"`,
  `export STARTING_TOKEN='${TOKEN}'`,
  `STARTING_TOKEN=${TOKEN}`,
  `  - STARTING_TOKEN=${TOKEN}`,
  `instagram.token: ${TOKEN}`,
  `https://graph.instagram.com/me?fields=id,username&access_token=${TOKEN}`,
  `https://graph.instagram.com/refresh_access_token?grant_type=ig_refresh_token&access_token=${TOKEN}`,
  `https://shop.example/callback#access_token=${TOKEN}&token_type=bearer`,
  `https://l.example/?u=https%3A%2F%2Fgraph.instagram.com%2Fme%3Faccess_token%3D${TOKEN}`,
  `{"access_token":"${TOKEN}","token_type":"bearer","expires_in":5183944}`,
  `{ "data": [ { "access_token": "${TOKEN}", "user_id": 17841400000000001, "permissions": "instagram_business_basic" } ] }`,
  `{\n  "access_token": "${TOKEN}"\n}`,
  `{'access_token': '${TOKEN}'}`,
  `{\\"access_token\\":\\"${TOKEN}\\"}`,
  `{"token":"${TOKEN}","refresh_token":"${'r'.repeat(60)}"}`,
  `{"next":"https://graph.instagram.com/v23.0/1/media?access_token=${TOKEN}\\u0026limit=25","previous":"https://graph.instagram.com/?access_token=${TOKEN}"}`,
  `{"access_token":"${TOKEN}`,
  `Authorization: Bearer ${TOKEN}`,
  `authorization: bearer "${TOKEN}"`,
  `Authorization: OAuth ${TOKEN}`,
  `Bearer ${TOKEN}`,
  `curl -i -H "Authorization: Bearer ${TOKEN}" "https://graph.instagram.com/me"`,
  `curl -X GET 'https://graph.instagram.com/me?access_token=${TOKEN}'`,
  `const accessToken = '${TOKEN}'`,
  `<input name="t" value="${TOKEN}">`,
  `My token is ${TOKEN}. Thanks!`,
  `Token\n${TOKEN}\nCopy`,
  `${TOKEN} is mine, token: the other`,
]

t.test('the token is found in each shape of a pasted text', async (t) => {
  for (const text of FOUND) t.same(read(text), { token: TOKEN, problem: null }, text.replace(TOKEN, 'IGAA…'))
})

t.test('a text without a token gets its own reason and is never repeated', async (t) => {
  const canary = 'canary0123456789canary0123456789'
  const wrong: [string, RegExp][] = [
    ['', /is empty/],
    ['""', /is empty/],
    [`EAAB${canary}`, /Facebook Login.*“API setup with Instagram login”/],
    [`access_token=EAAB${canary}`, /Facebook Login/],
    [`{"access_token":"EAAB${canary}"}`, /Facebook Login/],
    [`THAA${canary}`, /Threads/],
    [`1234567890|${canary}`, /an app’s own token/],
    ['17841400000000001', /is a number/],
    ['0123456789abcdef0123456789abcdef', /looks like an app secret/],
    [`AQ${canary}${canary}`, /authorization code/],
    [`${canary}#_`, /authorization code/],
    [`https://shop.example/callback?code=AQ${canary}&state=x`, /address with an authorization code.*connect the account/],
    [`https://www.instagram.com/${canary}/`, /is an address with no token in it/],
    [`www.instagram.com/${canary}`, /is an address/],
    [`{"error":{"message":"${canary}","code":190}}`, /no field is called access_token/],
    [`{"id":"${canary}"}`, /no field is called access_token/],
    [`INSTAGRAM_APP_SECRET=${canary}`, /only another setting/],
    [`code: ${canary}`, /only another setting/],
    [`IGAA${canary}...xyz`, /was shortened/],
    [`IGAA${canary}…`, /was shortened/],
    [`access_token=IGAA${canary} and access_token=IGAB${canary}`, /beside another one/],
    [`IGAA${canary}\nIGAB${canary}`, /beside another one/],
    ['token: see the note', /only another setting|space or a line break/],
    [`Authorization: Basic ${canary}`, /only another setting|space/],
    [`IGAA ${canary}`, /space or a line break/],
  ]
  for (const [text, says] of wrong) {
    const { token, problem } = read(text)
    t.match(problem ?? '', says, text.replace(canary, '…'))
    t.notMatch(problem ?? '', /canary/)
    t.equal(token, null)
  }
  t.equal(readPastedToken(`EAAB${canary}`, []).token, `EAAB${canary}`, 'another provider may accept it')
})

t.test('a token of any visible characters stays unchanged', async () => {
  const visible = fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)), maxLength: 200 })
  fc.assert(
    fc.property(visible, (rest) => {
      const { token, problem } = read(`IGAA${rest}`)
      return token === null ? problem !== null : `IGAA${rest}`.includes(token)
    }),
  )
  fc.assert(fc.property(fc.stringMatching(/^IGAA[\w-]{20,200}$/), (token) => read(token).token === token))
})
