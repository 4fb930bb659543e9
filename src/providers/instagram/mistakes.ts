import type { Mistake } from '../../core/provider.ts'

const GENERATE = 'generate one in the Meta App Dashboard under “API setup with Instagram login”: it begins with IGAA'

/** https://developers.facebook.com/docs/facebook-login/guides/access-tokens */
export const MISTAKES: readonly Mistake[] = [
  [/^EAA[A-Za-z0-9]/, `is one of Facebook Login (EAA…), which Instagram’s own login does not take; ${GENERATE}`],
  [/^TH[A-Z]{2}[\w-]{20,}/, `is one of Threads (TH…), which Instagram does not take; ${GENERATE}`],
  [/^\d+\|/, `is an app’s own token (a number, a bar and a secret), which belongs to no Instagram account; ${GENERATE}`],
  [/^\d{5,25}$/, `is a number, the id of an app or of a user; ${GENERATE}`],
  [/^[0-9a-f]{32}$/i, `looks like an app secret, which must not be given away; ${GENERATE}`],
  [
    /^AQ[\w-]{40,}$|#_(?:=_)?$/,
    'is an authorization code, which works once and is not a token; connect the account in the browser instead',
  ],
]
