import { isAccountName } from '../core/account.ts'
import type { Alert } from './alert.ts'

/** Names and a provider's words come from elsewhere: no line breaks, no control or bidirectional characters. */
function plainText(text: string): string {
  return text
    .replace(/[\p{Zl}\p{Zp}\s]+/gu, ' ')
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}]/gu, '')
    .trim()
}

/** The owner's page about it. */
export function linkOf({ account }: Alert, appUrl: string): string {
  return account !== null && isAccountName(account) ? `${appUrl}/admin/accounts/${account}` : `${appUrl}/status`
}

export interface Line {
  readonly text: string
  readonly link: string
}

export interface Shape {
  readonly appUrl: string
  /** Characters of all lines and links together. */
  readonly maxLength: number
  /** Takes the meaning from what the receiver would read as a mention, a link or formatting. */
  readonly disarm?: (text: string) => string
}

/** Of one message at most so much, so that one account does not hide the others. */
const MAX_MESSAGE = 1_000
const MORE_LENGTH = 100

/** A line for each alert. Those that do not fit are counted in the last one, which links to the list. */
export function linesOf(alerts: readonly Alert[], { appUrl, maxLength, disarm = (text) => text }: Shape): Line[] {
  const lines: Line[] = []
  let room = maxLength - appUrl.length - MORE_LENGTH
  for (const alert of alerts) {
    const link = linkOf(alert, appUrl)
    const text = disarm(plainText(alert.message).slice(0, MAX_MESSAGE))
    const length = text.length + link.length + 4
    if (length > room && lines.length > 0) break
    lines.push({ text: text.slice(0, Math.max(0, room - link.length)), link })
    room -= length
  }
  const left = alerts.length - lines.length
  if (left > 0) lines.push({ text: disarm(`And ${left} more.`), link: `${appUrl}/status?show=attention` })
  return lines
}

/** The lines as one text that begins with the agent's address, for an operator of several. */
export function textOf(lines: readonly Line[], appUrl: string): string {
  const [first, ...others] = lines.map(({ text, link }) => `${text}\n${link}`)
  return [`token-agent at ${appUrl}: ${first}`, ...others].join('\n\n')
}
