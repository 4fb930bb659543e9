import { printable } from '../core/quotes.ts'
import type { FeedMode } from '../core/serves.ts'
import type { FeedSettings } from '../feeds/open-feeds.ts'

const MODES: readonly FeedMode[] = ['on', 'only', 'off']

export function readFeeds(text: (name: string) => string | null, problems: string[]): FeedSettings {
  const whole = (name: string, [least, most, usual]: readonly [number, number, number], unit: string): number => {
    const value = text(name)
    if (value === null) return usual
    if (/^\d{1,7}$/.test(value) && Number(value) >= least && Number(value) <= most) return Number(value)
    problems.push(`${name}: “${printable(value)}” is no whole number of ${unit} from ${least} to ${most}`)
    return usual
  }
  const typed = text('FEED_MODE')?.toLowerCase() ?? 'on'
  const mode = MODES.find((one) => one === typed)
  if (mode === undefined) problems.push(`FEED_MODE: “${printable(typed)}” is not one of ${MODES.join(', ')}`)
  return {
    mode: mode ?? 'on',
    intervalMs: whole('FEED_INTERVAL', [5, 1440, 30], 'minutes') * 60_000,
    posts: whole('FEED_POSTS', [1, 100, 24], 'posts'),
    storeBytes: whole('FEED_STORE_MB', [10, 1_000_000, 200], 'megabytes') * 1024 * 1024,
  }
}
