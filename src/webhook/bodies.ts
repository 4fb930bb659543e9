import type { Alert } from '../alerts/alert.ts'
import { type Line, linesOf, linkOf, textOf } from '../alerts/message.ts'

/** What receives the posts: each takes another body, and reads other characters as mentions, links or formatting. */
export interface Receiver {
  readonly title: string
  body(alerts: readonly Alert[], appUrl: string): object
}

/** A dot within a name and a scheme make a link without being asked; a word joiner, which is not seen, keeps them from it. */
function unlinked(text: string): string {
  return text.replace(/(?<=\w)\.(?=\p{L})|:(?=\/\/)/gu, '$&\u2060')
}

// https://docs.slack.dev/messaging/formatting-message-text (escaping), /reference/block-kit/blocks/rich-text-block
const slack: Receiver = {
  title: 'Slack',
  body(alerts, appUrl) {
    const disarm = (text: string): string => unlinked(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
    // Rich text is not read for markup. The text is what notifications show.
    const section = ({ text, link }: Line) => ({
      type: 'rich_text_section',
      elements: [
        { type: 'text', text: `${text} ` },
        { type: 'link', url: link, text: 'Open' },
        { type: 'text', text: '\n' },
      ],
    })
    const intro = { type: 'rich_text_section', elements: [{ type: 'text', text: `token-agent at ${new URL(appUrl).host}\n` }] }
    return {
      text: textOf(linesOf(alerts, { appUrl, maxLength: 3_000, disarm }), appUrl),
      mrkdwn: false,
      blocks: [{ type: 'rich_text', elements: [intro, ...linesOf(alerts, { appUrl, maxLength: 8_000, disarm: unlinked }).map(section)] }],
      unfurl_links: false,
      unfurl_media: false,
    }
  },
}

// https://discord.com/developers/docs/resources/webhook#execute-webhook: `content` has 2,000 characters at most
const discord: Receiver = {
  title: 'Discord',
  body(alerts, appUrl) {
    const disarm = (text: string): string => text.replace(/[\\*_~`|<>#@:[\]()]/g, '\\$&')
    const content = textOf(linesOf(alerts, { appUrl, maxLength: 1_900, disarm }), appUrl).slice(0, 2_000)
    return { content, allowed_mentions: { parse: [] }, flags: SUPPRESS_EMBEDS }
  },
}
const SUPPRESS_EMBEDS = 4

// https://developers.google.com/workspace/chat/format-messages; an unknown field is a 400, a text over 4,096 characters too.
// Nothing can be escaped there, so other characters that look alike take the places.
const googleChat: Receiver = {
  title: 'Google Chat',
  body(alerts, appUrl) {
    const alike: Record<string, string> = { '<': '‹', '>': '›', '*': '∗', '~': '∼', '`': 'ˋ', _: '＿' }
    const disarm = (text: string): string =>
      unlinked(text).replace(/[<>*~`]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g, (mark) => alike[mark] ?? '')
    return { text: textOf(linesOf(alerts, { appUrl, maxLength: 3_800, disarm }), appUrl).slice(0, 4_096) }
  },
}

// https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using: 28 KB at most.
// A text run is not read as Markdown, as a text block is.
const teams: Receiver = {
  title: 'Microsoft Teams',
  body(alerts, appUrl) {
    const run = (text: string) => ({ type: 'TextRun', text })
    const block = (...inlines: object[]) => ({ type: 'RichTextBlock', inlines })
    const open = (url: string) => ({ type: 'TextRun', text: 'Open', selectAction: { type: 'Action.OpenUrl', url } })
    const lines = linesOf(alerts, { appUrl, maxLength: 6_000, disarm: unlinked })
    const content = {
      $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
      type: 'AdaptiveCard',
      version: '1.2',
      body: [
        block(run(`token-agent at ${unlinked(new URL(appUrl).host)}`)),
        ...lines.map(({ text, link }) => block(run(`${text} `), open(link))),
      ],
    }
    return { type: 'message', attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content }] }
  },
}

/** For programs, and for chats that show `text` (Mattermost, Rocket.Chat) or `content`. Its fields are relied on. */
const json: Receiver = {
  title: 'Webhook',
  body(alerts, appUrl) {
    const text = textOf(linesOf(alerts, { appUrl, maxLength: 1_900 }), appUrl).slice(0, 1_900)
    return { ...alerts[0], text, content: text, alerts: alerts.map((alert) => ({ ...alert, link: linkOf(alert, appUrl) })) }
  },
}

const BY_HOST: readonly (readonly [hosts: RegExp, receiver: Receiver])[] = [
  [/^hooks\.slack(-gov)?\.com$/, slack],
  [/^([a-z]+\.)?discord(app)?\.com$/, discord],
  [/^chat\.googleapis\.com$/, googleChat],
  [/\.(webhook\.office|logic\.azure|powerplatform)\.com$/, teams],
]

export function receiverAt(host: string): Receiver {
  return BY_HOST.find(([hosts]) => hosts.test(host))?.[1] ?? json
}
