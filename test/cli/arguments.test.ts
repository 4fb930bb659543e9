import t from 'tap'
import { readArguments } from '../../src/cli/arguments.ts'
import { help } from '../../src/cli/help.ts'
import { UsageError } from '../../src/cli/terminal.ts'

const command = (words: string): string => `run-it ${words}`

function refusal(args: string[]): string {
  try {
    readArguments(args, command)
  } catch (error) {
    if (error instanceof UsageError) return error.message
    throw error
  }
  throw new Error(`understood: ${args.length} words`)
}

const SECRETS = [
  'IGAAsecretSECRET',
  'igaasecretsecret',
  'IGAA…',
  'EAABsbCS1234ZCpO',
  'act.example12345Example12345Example!4100.va',
  'THAAsecret',
  '0123456789abcdef0123456789abcdef',
  'Kx7Qp2Lm9Rt4Vw8Zb3Nc',
  'token=IGAAsecret',
  '{"access_token":"IGAAsecret"}',
  'https://graph.instagram.com/me?access_token=IGAAsecret',
  'postgres://me:hunter2@db.example/agent',
  '“IGAAsecret”',
  ' IGAAsecret',
  'IGAA\nsecret',
  'hunter2',
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSM',
]

t.test('no message repeats an argument that may be a token, a secret or an address', async (t) => {
  const places: ((secret: string) => string[])[] = [
    (secret) => [secret],
    (secret) => [secret, 'default'],
    (secret) => ['status', secret],
    (secret) => ['seed', 'default', secret],
    (secret) => ['refresh', 'shop', secret],
    (secret) => ['accounts', secret],
    (secret) => ['accounts', 'pause', 'shop', secret],
    (secret) => ['accounts', 'list', secret],
    (secret) => ['accounts', 'set-constant', 'shop', 'Name', secret],
    (secret) => [`--${secret}`],
    (secret) => ['seed', `-${secret}`],
    (secret) => ['seed', `--token=${secret}`],
    (secret) => ['status', `--json=${secret}`],
    (secret) => ['--', secret],
    (secret) => ['accounts', 'add', 'shop', '--provider', secret],
    (secret) => ['accounts', 'add', 'shop', `--provider=${secret}`],
  ]
  for (const secret of SECRETS) {
    for (const [at, place] of places.entries()) {
      const message = refusal(place(secret))
      t.notOk(message.includes(secret.trim()), `place ${at}: ${message}`)
      t.notMatch(message, /IGAA|secretsecret|hunter2/i)
    }
  }
})

t.test('a token is refused as the name of an account, a constant or a web site', async (t) => {
  const tokens = SECRETS.filter((secret) => !['hunter2'].includes(secret))
  for (const token of tokens) {
    t.match(refusal(['accounts', 'add', token]), /not an account’s name|looks like a token/)
    t.notMatch(refusal(['accounts', 'set-domains', 'shop', 'www.example.com', token]), /IGAA/i)
  }
  for (const token of ['IGAAsecretSECRET', 'Kx7Qp2Lm9Rt4Vw8Zb3Nc']) t.match(refusal(['accounts', 'set-constant', 'shop', token]), /public/)
})

t.test('a misunderstood command is refused with the part that is wrong', async (t) => {
  const mistakes: [string, RegExp][] = [
    ['constructor', /no command “constructor”/],
    ['__proto__', /no command/],
    ['serve default', /serve takes no “default”/],
    ['migrate --force', /migrate takes no --force/],
    ['status --force', /status takes no --force/],
    ['status --json=yes', /json/],
    ['status default', /status takes no “default”/],
    ['refresh --show', /refresh takes no --show/],
    ['token --json', /token takes no --json/],
    ['refresh a b', /refresh takes no “b”/],
    ['seed A', /not an account’s name/],
    ['seed ../x', /not an account’s name/],
    ['accounts', /takes one of list, add, remove/],
    ['accounts toString', /takes one of/],
    ['accounts add', /takes the account’s name/],
    ['accounts add Shop!', /not an account’s name/],
    ['accounts add shop instagram more', /takes no “more”/],
    ['accounts add shop --revoke', /takes no --revoke/],
    ['accounts list shop', /takes no “shop”/],
    ['accounts list --force', /--force/],
    ['accounts set-constant shop a b', /takes no “b”/],
    ['accounts set-pages shop', /takes “allowed” or “servers-only”/],
    ['accounts set-pages shop yes', /takes “allowed” or “servers-only”/],
    ['accounts set-pages shop allowed b', /takes no “b”/],
  ]
  for (const [words, says] of mistakes) t.match(refusal(words.split(' ')), says, words)
})

t.test('ordinary names, constants and web sites are accepted', async (t) => {
  for (const name of ['default', 'shop-2024', 'moss-and-clay', 'a', 'client-0042-spring'])
    t.match(readArguments(['accounts', 'add', name], command), { name: 'accounts add', account: name })
  for (const constant of ['InstagramToken', 'ShopToken2024', '$ig', 'bakery_token'])
    t.match(readArguments(['accounts', 'set-constant', 'shop', constant], command), { rest: [constant] })
  const sites = [
    'www.example.com',
    '*.example.com',
    'http://localhost:8080',
    'localhost',
    '[::1]:8080',
    'bücher.example',
    'a.example,b.example',
  ]
  const hosts = ['token-agent-0f1e2d3c4b5a.herokuapp.com', '65f1e2a3b4c5d6e7f8a9b0c1--site.netlify.app', 'act.example.com']
  const set = readArguments(['accounts', 'set-domains', 'shop', ...sites, ...hosts], command)
  t.match(set, { account: 'shop', rest: [...sites, ...hosts] })
})

t.test('the provider of a new account is an option, before or after the name', async (t) => {
  for (const args of [
    ['shop', '--provider', 'threads'],
    ['--provider', 'threads', 'shop'],
    ['shop', '--provider=threads'],
  ]) {
    const read = readArguments(['accounts', 'add', ...args], command)
    if (read === null || !('options' in read)) throw new Error('not understood')
    t.match(read, { account: 'shop', rest: [] })
    t.same([...read.options], [['provider', 'threads']])
  }
  for (const args of [
    ['shop', '--provider'],
    ['shop', '--provider='],
    ['shop', 'threads', '--provider', 'threads'],
  ])
    t.match(refusal(['accounts', 'add', ...args]), /--provider takes the name of one provider/)
  t.match(refusal(['status', '--provider', 'threads']), /status takes no --provider/)
})

t.test('a mistyped word gets a suggestion', async (t) => {
  const suggestions: [string[], string][] = [
    [['stauts'], 'status'],
    [['Status'], 'status'],
    [['acounts', 'list'], 'accounts'],
    [['rotatekeys'], 'rotate-keys'],
    [['accounts', 'set-domain', 'shop'], 'accounts set-domains'],
    [['accounts', 'lst'], 'accounts list'],
    [['export'], 'accounts export'],
    [['pause', 'shop'], 'accounts pause'],
  ]
  for (const [args, word] of suggestions) t.match(refusal(args), `Did you mean “${word}”?`)
  t.equal(refusal(['sing']), 'There is no command “sing”.')
})

t.test('each command has its own help with its usage', async (t) => {
  const all = [...help(command, null).matchAll(/^ {2}([a-z-]+(?: [a-z-]+)?)(?= )/gm)].map(([, words = '']) => words)
  t.ok(all.length > 15)
  for (const words of [...all, 'accounts']) {
    for (const args of [
      [...words.split(' '), '--help'],
      ['help', ...words.split(' ')],
      [...words.split(' '), '-h'],
    ]) {
      const invocation = readArguments(args, command)
      t.match(invocation, { name: 'help', about: words })
      if (invocation?.name === 'help') t.match(help(command, invocation.about), `Usage: run-it ${words}`)
      else t.fail(words)
    }
  }
  t.match(readArguments(['--help'], command), { name: 'help', about: null })
})
