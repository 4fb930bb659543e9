import type { Mistake } from '../../core/provider.ts'

/**
 * What people take for a token of this service. `generate` is the way to a token.
 * https://developers.facebook.com/docs/facebook-login/guides/access-tokens
 */
export function graphMistakes(title: string, generate: string): readonly Mistake[] {
  return [
    [/^EAA[A-Za-z0-9]/, `is one of Facebook Login (EAA…), which ${title}’s own login does not take; ${generate}`],
    [/^(?:act|rft|clt)\./, `is one of TikTok, which ${title} does not take; ${generate}`],
    [/^(?:TH\|)?\d+\|/, `is an app’s own token (a number, a bar and a secret), which belongs to no ${title} account; ${generate}`],
    [/^\d{5,25}$/, `is a number, the id of an app or of a user; ${generate}`],
    [/^[0-9a-f]{32}$/i, `looks like an app secret, which must not be given away; ${generate}`],
    [
      /^AQ[\w-]{40,}$|#_(?:=_)?$/,
      'is an authorization code, which works once and is not a token; connect the account in the browser instead',
    ],
  ]
}
