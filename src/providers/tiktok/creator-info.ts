import type { readAnswer } from './answer.ts'

// https://developers.tiktok.com/doc/content-posting-api-reference-query-creator-info
// https://developers.tiktok.com/doc/content-sharing-guidelines

const PUBLISH = 'video.publish'

const LEVELS: Readonly<Record<string, string>> = {
  PUBLIC_TO_EVERYONE: 'everyone',
  MUTUAL_FOLLOW_FRIENDS: 'friends',
  FOLLOWER_OF_CREATOR: 'followers',
  SELF_ONLY: 'the account alone',
}

const FAULTS: readonly (readonly [code: RegExp, sentence: string])[] = [
  [/^reached_active_user_cap$/, 'TikTok lets no further user of this app post today: its daily limit of users is reached.'],
  [/^spam_risk/, 'TikTok lets this account post no more for a while: it takes the last posts for spam.'],
  [
    /^scope_|invalid_scope/,
    'TikTok does not let this token post: add video.publish to the app at developers.tiktok.com, then connect again.',
  ],
  [/^rate_limit/, 'TikTok was asked too often at this moment who may see its posts.'],
]

const LIMITS = [
  'Until TikTok has audited the app, at most five users may post by it in 24 hours, their accounts must be private, and only they see the posts.',
  'In a sandbox only the ten target users that the app names can connect, with the sandbox’s own key and secret.',
]

/** What a person who posts by this token should know; empty without the right to post. Never a condition of anything. */
export async function postingNotes(
  scopes: string | null,
  ask: () => Promise<ReturnType<typeof readAnswer> | null>,
): Promise<readonly string[]> {
  if (scopes?.split(' ').includes(PUBLISH) !== true) return []
  const answer = await ask()
  return [...levelsOf(answer), ...LIMITS]
}

function levelsOf(answer: Awaited<ReturnType<Parameters<typeof postingNotes>[1]>>): string[] {
  const unknown = ['TikTok does not say at the moment who may see this account’s posts.']
  if (answer === null) return unknown
  const code = answer.refusal?.code ?? ''
  const fault = FAULTS.find(([shape]) => shape.test(code))
  if (fault !== undefined) return [fault[1]]
  const { privacy_level_options: options } = (answer.fields['data'] ?? {}) as { privacy_level_options?: unknown }
  const levels = Array.isArray(options) ? options.flatMap((one) => LEVELS[String(one)] ?? []) : []
  if (answer.refusal !== null || levels.length === 0) return unknown
  return [`Posts of this account may be for: ${levels.join(', ')}.`]
}
