import t from 'tap'
import { type MailConfig, readMail } from '../../src/config/mail.ts'

interface Read {
  readonly mail: MailConfig | null
  readonly problems: string[]
}

function read(smtpUrl: string | null, recipients: string[] = ['me@example.com'], appUrl = 'https://agent.example'): Read {
  const problems: string[] = []
  return { mail: readMail({ smtpUrl, recipients, appUrl }, (what) => void problems.push(what)), problems }
}

t.test('the address of a mail server is taken apart into host, port, encryption, user and password', async (t) => {
  const known: [url: string, expected: object][] = [
    ['smtp://mail.example', { host: 'mail.example', port: 587, secure: false, mustEncrypt: false, login: null }],
    ['smtps://mail.example/', { port: 465, secure: true, mustEncrypt: false, login: null }],
    ['smtp://u:p@mail.example:2525', { port: 2525, mustEncrypt: true, login: { user: 'u' } }],
    ['smtp://u%40a:p@[fd00::1]', { host: 'fd00::1', login: { user: 'u@a' } }],
    ...['localhost', '127.0.0.1', '127.9.9.9', '[::1]'].map((host): [string, object] => [`smtp://u:p@${host}`, { mustEncrypt: false }]),
    ...['127.0.0.1.example', 'localhost.example', '10.0.0.1'].map((host): [string, object] => [
      `smtp://u:p@${host}`,
      { mustEncrypt: true },
    ]),
  ]
  for (const [url, expected] of known) {
    const { mail, problems } = read(url)
    t.strictSame(problems, [], url)
    t.match(mail, expected, url)
  }
  t.equal(read('smtp://u:%20p%2F%40@mail.example').mail?.login?.password.reveal(), ' p/@')
  t.strictSame(read(null, []), { mail: null, problems: [] })
})

t.test('nothing else in the address is taken, and no problem repeats the password', async (t) => {
  const options = ['debug=true', 'logger=true', 'tls.rejectUnauthorized=false', 'proxy=http://x', 'ignoreTLS=true', 'pool=true', 'name=x']
  const known: [url: string, why: RegExp][] = [
    ...['requireTLS=false', 'getSocket=x', 'auth.accessUrl=http://x', ...options].map((option): [string, RegExp] => [
      `smtp://u:canary@mail.example?${option}`,
      /path or options/,
    ]),
    ['smtp://u:canary@mail.example/?', /^$/],
    ['smtp://u:canary@mail.example/path', /path or options/],
    ['smtp://u:canary@mail.example#x', /path or options/],
    ['smtp://u:can/ary@mail.example', /must be|path or options/],
    ['smtp://u@mail.example', /both or neither/],
    ['smtp://:canary@mail.example', /both or neither/],
    ['smtp://u:%canary@mail.example', /%25/],
    ['smtp://u:canary%0D%0Ax@mail.example', /control character/],
    ['smtp://u:canary@', /must be an smtp/],
    ['smtp://u:canary@mail.example:0', /port 0/],
    ['http://u:canary@mail.example', /must be an smtp/],
    ['canary', /must be an smtp/],
    ['smtp:canary@mail.example', /must be an smtp/],
    ['smtp://u:canary@mail example', /must be an smtp/],
  ]
  for (const [url, why] of known) {
    const { problems } = read(url)
    if (why.source === '^$') t.strictSame(problems, [], 'an empty query holds no option')
    else t.match(problems, [new RegExp(`^SMTP_URL: .*(${why.source})`)], url)
    t.notMatch(problems.join(), /canary/)
  }
})

t.test('recipients are at most five plain addresses', async (t) => {
  const bad = ['"a@x"', '<me@example.com>', 'Me', 'a@b@c', 'a@', '@b', 'a@-b', 'a@b..c', 'team:a@b;', `a@${'x'.repeat(300)}`, 'a\r@b']
  for (const one of [...bad, 'a@b.c\u2028', 'ü@example.com', 'a@[127.0.0.1]', 'a(c)@b']) {
    t.match(read('smtp://mail.example', [one]).problems, [/^ALERT_EMAIL_TO: takes plain addresses/], one)
  }
  for (const one of ['a@b', "o'neil+alerts@mail.example.com"]) t.strictSame(read('smtp://mail.example', [one]).problems, [])
  const six = Array.from({ length: 6 }, (_, n) => `a${n}@b.example`)
  t.match(read('smtp://mail.example', six).problems, [/more than 5/])
  t.match(read('smtp://mail.example', []).problems, [/^ALERT_EMAIL_TO: is missing/])
  t.match(read(null).problems, [/^SMTP_URL: is missing/])
})

t.test('the sender is one that the server is likely to know', async (t) => {
  const from = (url: string, appUrl?: string) => read(url, ['first@example.com', 'second@example.com'], appUrl).mail?.from
  t.equal(from('smtp://me%40mail.example:p@mail.example'), 'me@mail.example')
  t.equal(from('smtp://apikey:p@mail.example'), 'first@example.com')
  t.equal(from('smtp://mail.example'), 'token-agent@agent.example')
  for (const appUrl of ['http://127.0.0.1:3000', 'http://[::1]:3000']) t.equal(from('smtp://mail.example', appUrl), 'token-agent@localhost')
})
