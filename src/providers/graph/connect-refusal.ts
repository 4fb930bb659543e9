import { ConnectError, ProviderError } from '../../core/errors.ts'
import type { Answer } from '../http.ts'
import { errorIn, isAppSwitchedOff, isLimit, META_APP_ID, whole } from './refusal.ts'
import type { GraphService } from './service.ts'

// The meaning of the Graph API's errors while the owner connects an account and can act at once.

export function createConnectRefusals({ title, site, permission, words }: Pick<GraphService, 'title' | 'site' | 'permission' | 'words'>) {
  const press = `“Connect ${title}”`
  const again = `Nothing was changed. Wait a few minutes, then press ${press} again.`

  const TROUBLE = new ConnectError(`${title} did not answer, or not in a way that the agent understands.`, again, { isTransient: true })
  const LIMIT = new ConnectError(`${title}’s rate limit is reached.`, again, { isTransient: true })
  const CREDENTIALS = new ConnectError(`${title} does not know this agent’s app ID and secret.`, words.copyToConnect)
  const REDIRECT_URI = new ConnectError(
    `${title} does not accept this agent’s redirect URI.`,
    `Register it in the Meta App Dashboard, ${words.redirectPlace}, then connect again.`,
    { wantsRedirectUri: true },
  )
  const APP_OFF = new ConnectError(
    'Meta has switched this app off.',
    'Open the app in the Meta App Dashboard, read the notice there and do what it asks; then connect again.',
  )
  const USED_CODE = new ConnectError(
    `The code that ${title} sent along has been used already, or is too old.`,
    `Press ${press} again; nothing was changed.`,
  )
  const PERMISSION = new ConnectError(
    `${title} did not give the permission ${permission}.`,
    `Connect again and leave every permission switched on; the app must have ${permission} in its dashboard.`,
  )
  const DEAD = new ConnectError(
    `${title} no longer accepts the token that it has just given out.`,
    `Log in at ${site}, answer what it asks there, and connect again.`,
  )
  const NOT_LET_IN = new ConnectError(...words.notLetIn)
  const WITHOUT_REASON = new ConnectError(
    `${title} refused, and gave no reason that the agent knows.`,
    `Press ${press} again. If it happens again, compare the app ID, the app secret and the redirect URI with the Meta App Dashboard.`,
  )

  return {
    personal: new ConnectError(
      `This is a personal ${title} account, and ${title} gives tokens to professional ones only.`,
      `Make it a Business or Creator account in ${title}’s settings (it is free), then connect again.`,
    ),

    /** The error in an answer; null = none. */
    connectRefusal(answer: Answer, body: unknown): ConnectError | null {
      const error = errorIn(body)
      if (error === null && answer.status >= 200 && answer.status <= 299) return null
      const code = whole(error?.['code'])
      const subcode = whole(error?.['error_subcode'])
      // https://api.instagram.com answers 400 to every refused code; only the text tells them apart.
      const words = String(error?.['message'] ?? '')
      if (subcode === 36009) return USED_CODE
      if (/redirect.?ur[il]/i.test(words) || subcode === 36008) return REDIRECT_URI
      if (isLimit(answer.status, code)) return LIMIT
      if (isAppSwitchedOff(words)) return APP_OFF
      if (
        /client.?secret|platform app|client.?id|app.?id\b/i.test(words) ||
        code === 101 ||
        code === META_APP_ID ||
        error?.['type'] === 'invalid_client'
      ) {
        return CREDENTIALS
      }
      if (error?.['type'] === 'invalid_grant' || speaksOfSpentCode(words)) return USED_CODE
      if (code === 10 || code === 3 || (code !== null && code >= 200 && code <= 299)) return PERMISSION
      if (code === 190 || code === 102) return DEAD
      if (code === 100) return NOT_LET_IN
      if (answer.status >= 500 || code === 1 || code === 2 || code === -1) return TROUBLE
      if (code === null) return answer.status >= 400 && error !== null && words !== '' ? WITHOUT_REASON : TROUBLE
      return new ConnectError(
        `${title} refused with an error that the agent does not know (code ${code}).`,
        'Look the code up in Meta’s list of errors; if that does not help, connect again later.',
      )
    },

    /** Turns a ProviderError into a ConnectError. */
    asConnectError: (error: unknown): unknown => (error instanceof ProviderError ? TROUBLE : error),
  }
}

/** Meta's wordings for a used or expired authorization code; they change from year to year. */
const SPENT =
  /\b(?:re)?used\b|expired?\b|too old|no longer|invalid|not valid|not (?:be )?found|unknown|revoked|redeemed|consumed|exchanged|incorrect|malformed|mismatch|not match/i

/** “Error code: 400” and “grant_type must be authorization_code” do not mean the authorization code. */
function speaksOfSpentCode(words: string): boolean {
  const others = /(?:error|status|response)[ _]code|\b(?:grant|response)_type\b.*/gi
  return /code(?![a-z])/i.test(words.replace(others, '')) && SPENT.test(words)
}
