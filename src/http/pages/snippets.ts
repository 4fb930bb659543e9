import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, parse } from 'node:path'
import type { MediaAccess } from '../../core/media.ts'

/** The values that a snippet is filled with. */
export interface SnippetValues {
  readonly appUrl: string
  /** Null = the account that the addresses without a name serve. */
  readonly account: string | null
  readonly constantName: string
  /** As HTML: what shows where there is no feed. */
  readonly profile: string
}

/** Code to copy, by the name of its file. */
export type Snippets = Readonly<Record<string, string>>

/** Fills the files of views/snippets, which the browser tests run too. Reads them for the first page. */
export function createSnippets(viewsFolder: string): (place: SnippetValues) => Snippets {
  const folder = join(viewsFolder, 'snippets')
  let files: ReadonlyArray<readonly [name: string, text: string]> | null = null
  return ({ appUrl, account, constantName, profile }) => {
    files ??= readdirSync(folder).map((file) => [parse(file).name, readFileSync(join(folder, file), 'utf8').trimEnd()])
    const place = account === null ? appUrl : `${appUrl}/accounts/${account}`
    const values: Record<string, string> = {
      address: appUrl,
      place,
      token: `${place}/token`,
      account: account === null ? '' : ` account="${account}"`,
      constant: constantName,
      profile,
    }
    const filled = files.map(([name, text]) => [name, text.replace(/%([a-z]+)%/g, (all, key) => values[key] ?? all)] as const)
    // A page uses the feed or the token.
    const hashesFor = (name: string): string => {
      const scripts = filled.flatMap(([other, text]) => (isOfFeed(other) === isOfFeed(name) ? inlineScripts(text) : []))
      return [...new Set(scripts)].map(hashOf).join('\n  ')
    }
    return Object.fromEntries(filled.map(([name, text]) => [name, text.replace('%hashes%', () => hashesFor(name))]))
  }
}

/** The link to a user's page. It is pasted as HTML, so a name that is not plain is left to the owner. */
export function profileLink(
  username: string | null,
  provider: { readonly title: string; readonly media?: Pick<MediaAccess, 'profileUrl'> | undefined } | undefined,
): string {
  if (provider?.media === undefined) return ''
  const name = username !== null && /^[\w.]+$/.test(username) ? username : 'your-name'
  return `<a href="${provider.media.profileUrl(name)}">${name} on ${provider.title}</a>`
}

const isOfFeed = (name: string): boolean => name.startsWith('media-')

/** The inline scripts that a Content-Security-Policy must name by hash: https://www.w3.org/TR/CSP3/#unsafe-hashes-usage */
function inlineScripts(text: string): string[] {
  return [...text.matchAll(/<script>(.*?)<\/script>|\bonerror="([^"]*)"/gs)].map(([, script, handler]) => script ?? handler ?? '')
}

function hashOf(script: string): string {
  return `'sha256-${createHash('sha256').update(script).digest('base64')}'`
}
