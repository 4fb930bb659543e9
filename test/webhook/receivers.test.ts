import type { lookup } from 'node:dns'
import t, { type Test } from 'tap'
import type { Alert } from '../../src/alerts/alert.ts'
import type { Channel } from '../../src/alerts/channel.ts'
import { Secret } from '../../src/core/secret.ts'
import { createWebhook } from '../../src/webhook/webhook.ts'
import { type ChatPost, OWN, RECEIVERS, startChatReceivers } from '../support/chat-receivers.ts'
import { missing } from '../support/services.ts'

const skip = missing('openssl')
const toLoopback = ((_host: string, _options: object, callback: (error: null, found: object[]) => void) =>
  setImmediate(callback, null, [{ address: '127.0.0.1', family: 4 }])) as unknown as typeof lookup

async function receivers(t: Test): Promise<{ posts: ChatPost[]; webhookTo(host: string): Channel }> {
  const { port, ca, posts } = await startChatReceivers(t)
  return {
    posts,
    webhookTo: (host) =>
      createWebhook({
        url: new Secret(`https://${host}:${port}/services/T0/B0/secret?key=k`),
        appUrl: OWN,
        ca,
        lookup: toLoopback,
        isForbidden: () => false,
      }),
  }
}

const about = (account: string | null, message: string): Alert => ({ event: 'person_needed', account, state: 'reconnect', message })

t.test('each service takes its message, about one account, many, or none', { skip }, async (t) => {
  const { posts, webhookTo } = await receivers(t)
  for (const [host, { title }] of Object.entries(RECEIVERS)) {
    const webhook = webhookTo(host)
    t.equal(webhook.title, title, host)
    const test: Alert = { event: 'test', account: null, state: null, message: 'This is a test.' }
    const two = ['shop', 'cafe'].map((name) => about(name, `The token of the account “${name}” is refused. Look at ENCRYPTION_KEY.`))
    for (const alerts of [[test], two.slice(0, 1), two]) {
      await webhook.send(alerts)
      const { text = '', foreign = ['nothing came'] } = posts.at(-1) ?? {}
      t.strictSame(foreign, [], host)
      for (const { account, message } of alerts) {
        const plain = (shown: string): string => shown.replace(/[\\\u2060]/g, '').replaceAll('＿', '_')
        t.ok(plain(text).includes(message), `${host}: ${message}`)
        t.ok(text.includes(account === null ? `${OWN}/status` : `${OWN}/admin/accounts/${account}`), `${host}: link`)
      }
    }
  }
  t.equal(webhookTo('hooks.example').title, 'Webhook')
  for (const host of ['slack.com', 'discord.com.example', 'chat.googleapis.com.example', 'logic.azure.com'])
    t.equal(webhookTo(host).title, 'Webhook', host)
})

t.test('hundreds of accounts fit one message of each service: what does not fit is counted', { skip }, async (t) => {
  const { posts, webhookTo } = await receivers(t)
  for (const host of Object.keys(RECEIVERS)) {
    const name = (n: number): string => `shop-${n}-${'x'.repeat(30)}`
    await webhookTo(host).send(Array.from({ length: 300 }, (_, n) => about(name(n), `The token of “${name(n)}” is refused.`)))
    const { text = '', foreign } = posts.at(-1) ?? {}
    t.strictSame(foreign, [], host)
    const shown = text.match(/admin\/accounts\//g)?.length ?? 0
    t.ok(shown >= 5, `${host}: ${shown} accounts`)
    t.match(text, new RegExp(`And ${300 - shown} more`), host)
    t.ok(text.includes(`${OWN}/status?show=attention`), host)
  }
})

t.test('a name or a provider’s sentence brings no mention, no link and no formatting along', { skip }, async (t) => {
  const { posts, webhookTo } = await receivers(t)
  const hostile = [
    '@everyone @here <@123> <@&1> <#2> <!channel> <!here|x> <users/all> <at>all</at>',
    '<https://evil.example|click> [click](https://evil.example) https://evil.example evil.example www.evil.example http://evil.example/x',
    '*bold* _it_ ~no~ `code` ```block``` **b** __u__ ||spoiler|| > quote # title',
    '&lt;!channel&gt; &amp; \\*x\\* \\',
    'x\n> quote\r\n# title\u2028<!channel>\u202e\0',
    `<${'!channel> <'.repeat(2_000)}`,
    'mailto:me@evil.example <mailto:a@b.example|x> :smile: <:x:1> <t:1:R> </cmd:1>',
    '“'.repeat(10_240),
  ]
  for (const host of Object.keys(RECEIVERS)) {
    for (const [at, text] of hostile.entries()) {
      await webhookTo(host).send([
        about(text, `The token of “${text}” is refused. ${text}`),
        about('shop', 'The token of “shop” is refused.'),
      ])
      t.strictSame(posts.at(-1)?.foreign, [], `${host}, text ${at}`)
    }
  }
})
