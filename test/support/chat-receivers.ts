import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { selfSignedChain } from './certificates.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'

/** The agent's own links begin so; any other link is foreign. */
export const OWN = 'https://agent.example'

type Fields = Record<string, unknown>
/** What is wrong with a body, by the receiver's own rules; and what in it is a mention, a link or formatting that is not ours. */
type Judge = (body: Fields, size: number) => { refused: string | null; foreign: string[]; text: string }

const only = (body: Fields, names: string[]): string | null => {
  const unknown = Object.keys(body).filter((name) => !names.includes(name))
  return unknown.length === 0 ? null : `unknown field ${unknown.join()}`
}
/** What a chat makes links of without being asked. */
function linksIn(shown: string): string[] {
  const found = shown.match(/https?:\/\/[^\s>|]+|(?<![\w.-])[\w-]+(?:\.[a-z]{2,})+/gi) ?? []
  return found.filter((link) => link !== OWN && link !== `${OWN}:` && !link.startsWith(`${OWN}/`))
}

const slack: Judge = (body) => {
  const shown = String(body['text'] ?? '')
  const blocks = (body['blocks'] ?? []) as { type: string; elements: { type: string; elements: Fields[] }[] }[]
  const parts = blocks.flatMap(({ elements }) => elements.flatMap((section) => section.elements))
  const isKnown =
    blocks.every(({ type, elements }) => type === 'rich_text' && elements.every((section) => section.type === 'rich_text_section')) &&
    parts.every(({ type, text, url }) => typeof text === 'string' && text !== '' && (type === 'text' || (type === 'link' && url)))
  const foreign = [
    ...(shown.match(/<[^>]*>|[<>]|&(?!(amp|lt|gt);)/g) ?? []),
    ...linksIn(shown),
    ...parts.flatMap(({ type, url }) => (type === 'link' && !`${url}`.startsWith(`${OWN}/`) ? [`${url}`] : [])),
    // Formatting is read unless it is switched off.
    ...(body['mrkdwn'] === false ? [] : ['mrkdwn']),
    ...(body['unfurl_links'] === false && body['unfurl_media'] === false ? [] : ['unfurl']),
  ]
  const refused = only(body, ['text', 'blocks', 'mrkdwn', 'unfurl_links', 'unfurl_media', 'attachments', 'thread_ts'])
  const isLong = shown.length > 4_000 || blocks.length > 50
  return { refused: refused ?? (shown === '' ? 'no_text' : !isKnown ? 'invalid_blocks' : isLong ? 'too long' : null), foreign, text: shown }
}

const discord: Judge = (body) => {
  const shown = String(body['content'] ?? '')
  const mentions = body['allowed_mentions'] as { parse?: unknown[] } | undefined
  const unescaped = shown.replaceAll(new RegExp(`${OWN}(/[!-~]*|(?=:))`, 'g'), '').replace(/\\[^0-9A-Za-z\s]/g, '')
  const foreign = [
    ...(unescaped.match(/[*_~`|<>@#[\]()]|:(?=\/\/)|(?<=\w):(?=\w)/g) ?? []),
    ...(Array.isArray(mentions?.parse) && mentions.parse.length === 0 ? [] : ['mentions']),
    ...(body['flags'] === 4 ? [] : ['embeds']),
  ]
  return { refused: shown === '' || shown.length > 2_000 ? 'Must be 2000 or fewer in length.' : null, foreign, text: shown }
}

const googleChat: Judge = (body, size) => {
  const shown = String(body['text'] ?? '')
  const foreign = [...(shown.match(/<[^>]*>|[*~`]|(?<!\w)_|_(?!\w)/g) ?? []), ...linksIn(shown)]
  const isBad = shown === '' || shown.length > 4_096 || size > 32_000
  return { refused: only(body, ['text', 'cardsV2', 'thread', 'fallbackText']) ?? (isBad ? 'bad text' : null), foreign, text: shown }
}

const teams: Judge = (body, size) => {
  const [attachment, ...others] = (body['attachments'] ?? []) as Fields[]
  const card = (attachment?.['content'] ?? {}) as Fields & { body?: { type: string; inlines: Fields[] }[] }
  const runs = (card.body ?? []).flatMap(({ inlines }) => inlines)
  const isKnown =
    body['type'] === 'message' &&
    others.length === 0 &&
    attachment?.['contentType'] === 'application/vnd.microsoft.card.adaptive' &&
    card['type'] === 'AdaptiveCard' &&
    ['1.2', '1.3', '1.4', '1.5'].includes(String(card['version'])) &&
    (card.body ?? []).every(({ type }) => type === 'RichTextBlock') &&
    runs.length > 0 &&
    runs.every(({ type, text }) => type === 'TextRun' && typeof text === 'string')
  const urls = runs.flatMap(({ selectAction }) => (selectAction as { url?: string } | undefined)?.url ?? [])
  const shown = runs.map(({ text }) => text).join('')
  const foreign = [...linksIn(shown), ...urls.filter((url) => !url.startsWith(`${OWN}/`)), ...(card['msteams'] ? ['entities'] : [])]
  return { refused: !isKnown ? 'invalid card' : size > 28_000 ? 'too large' : null, foreign, text: [shown, ...urls].join('\n') }
}

/** By the host's name, as the agent chooses. */
export const RECEIVERS: Record<string, { judge: Judge; title: string; status: number }> = {
  'hooks.slack.com': { judge: slack, title: 'Slack', status: 200 },
  'hooks.slack-gov.com': { judge: slack, title: 'Slack', status: 200 },
  'discord.com': { judge: discord, title: 'Discord', status: 204 },
  'canary.discord.com': { judge: discord, title: 'Discord', status: 204 },
  'discordapp.com': { judge: discord, title: 'Discord', status: 204 },
  'chat.googleapis.com': { judge: googleChat, title: 'Google Chat', status: 200 },
  'example.webhook.office.com': { judge: teams, title: 'Microsoft Teams', status: 200 },
  'prod-01.westeurope.logic.azure.com': { judge: teams, title: 'Microsoft Teams', status: 202 },
  'default0.1.environment.api.powerplatform.com': { judge: teams, title: 'Microsoft Teams', status: 202 },
}

export interface ChatPost {
  readonly host: string
  readonly text: string
  readonly foreign: readonly string[]
}

/** All of these services behind one address, each as strict as its documentation. */
export async function startChatReceivers(t: Teardown): Promise<{ port: number; ca: Buffer; posts: ChatPost[] }> {
  const { caFile, chainFile, keyFile } = selfSignedChain(tempFolder(t), Object.keys(RECEIVERS))
  const posts: ChatPost[] = []
  const server = createServer({ cert: readFileSync(chainFile), key: readFileSync(keyFile) }, async (request, response) => {
    const host = (request.headers.host ?? '').replace(/:\d+$/, '')
    const body = await text(request)
    const receiver = RECEIVERS[host]
    if (receiver === undefined) return response.writeHead(404).end()
    const { refused, foreign, text: shown } = receiver.judge(JSON.parse(body), Buffer.byteLength(body))
    if (request.method !== 'POST' || request.headers['content-type'] !== 'application/json' || refused !== null)
      return response.writeHead(400).end(refused)
    posts.push({ host, text: shown, foreign })
    response.writeHead(receiver.status).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close().closeAllConnections())
  return { port: (server.address() as AddressInfo).port, ca: readFileSync(caFile), posts }
}
