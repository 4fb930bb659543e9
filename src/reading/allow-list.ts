/** The web origins that may read a token. Both sets hold canonical origins; a wildcard is stored without its `*.`. */
export interface AllowList {
  readonly exact: ReadonlySet<string>
  readonly wildcards: ReadonlySet<string>
}

/** `https://`, a name of 253 characters, `:` and five digits: the longest origin that DNS can resolve. */
const MAX_ORIGIN_LENGTH = 267
const MAX_NAME_LENGTH = 253
const MAX_LABEL_LENGTH = 63

/**
 * True if the list allows `origin`, which must be canonical: byte for byte `new URL(origin).origin`. Runs for each request;
 * a listed origin costs one look-up.
 */
export function allows(list: AllowList, origin: string): boolean {
  if (list.exact.has(origin)) return true
  if (list.wildcards.size === 0 || origin.length > MAX_ORIGIN_LENGTH || URL.parse(origin)?.origin !== origin) return false
  // Drops one label at a time from the front and looks the whole rest up, scheme and port included. So `notexample.com`
  // never matches `*.example.com`, and only http and https match.
  const hostStart = origin.indexOf('//') + 2
  const scheme = origin.slice(0, hostStart)
  for (let start = hostStart; ; ) {
    const dot = origin.indexOf('.', start)
    // URLs allow nearly every character in a host, such as `,` and `*`, and empty labels; web host names have none of these.
    if (dot === -1 || !isLabel(origin, start, dot)) return false
    if (list.wildcards.has(scheme + origin.slice(dot + 1))) return true
    start = dot + 1
  }
}

/** Letters, digits, `-`, and `_`, which the standard forbids but the web uses. */
function isLabel(text: string, start: number, end: number): boolean {
  if (start === end || end - start > MAX_LABEL_LENGTH) return false
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at)
    const isLetterOrDigit = (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)
    if (!isLetterOrDigit && code !== 0x2d && code !== 0x5f) return false
  }
  return true
}

/**
 * Reads entries separated by spaces, commas or line breaks. Each problem is one sentence that names its entry. Use the
 * list only if there are no problems. `isPublicSuffix`: anyone can get a name below this host.
 */
export function parseAllowList(text: string, isPublicSuffix: (host: string) => boolean): { list: AllowList; problems: string[] } {
  const exact = new Set<string>()
  const wildcards = new Set<string>()
  const problems: string[] = []
  for (const entry of text.split(/[\s,]+/)) {
    if (entry === '') continue
    const parsed = parseEntry(entry, isPublicSuffix)
    if (typeof parsed === 'string') problems.push(`\`${shown(entry)}\` ${parsed}`)
    else (parsed.isWildcard ? wildcards : exact).add(parsed.origin)
  }
  return { list: { exact, wildcards }, problems }
}

/** The entries in full, with their schemes, for display and storage. */
export function entriesOf({ exact, wildcards }: AllowList): string[] {
  return [...exact, ...[...wildcards].map((origin) => origin.replace('//', '//*.'))]
}

type ParsedEntry = { origin: string; isWildcard: boolean }

/** The entry, or its problem. Checks strictly before `new URL`, which silently repairs many mistakes. */
function parseEntry(entry: string, isPublicSuffix: (host: string) => boolean): ParsedEntry | string {
  const schemeEnd = entry.indexOf('://')
  const typedScheme = schemeEnd === -1 ? null : entry.slice(0, schemeEnd).toLowerCase()
  const scheme = typedScheme ?? 'https'
  if (APP_SCHEMES.test(scheme)) {
    return 'is no web site: every app or extension of this kind shares this origin and could read the token; let a server of yours ask for it, with a server key (SERVER_KEYS)'
  }
  if (scheme !== 'https' && scheme !== 'http') return 'is no web site; an entry starts with https://, http:// or the host name itself'
  // An address copied from a browser ends in a slash.
  const written = entry.slice(schemeEnd === -1 ? 0 : schemeEnd + 3).replace(/\/$/, '')

  if (/^\*(:|$)/.test(written)) return 'would allow every web site; name your own host'
  if (written.toLowerCase() === 'null' && schemeEnd === -1) return 'would allow every sandboxed or local page; name your own host'
  const mistake = MISTAKES.find(([sign]) => written.includes(sign))
  if (mistake !== undefined) return mistake[1]

  const isWildcard = written.startsWith('*.')
  const [, name = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(isWildcard ? written.slice(2) : written) ?? []
  if (port !== undefined && !(/^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535)) {
    return 'has a port that does not exist; a port is a number from 1 to 65535, as in example.com:8443'
  }
  if (name.includes('*') && previewHostOf(name) !== null)
    return `has a \`*\` inside a name, and anybody can get such a name under ${previewHostOf(name)}; ${FOR_PREVIEWS}`
  if (name.includes('*')) return 'has a `*` in the wrong place; one `*.` in front of a host name stands for all its subdomains'
  if (name.startsWith('.')) return 'starts with a dot; for all subdomains of a host write *.example.com'
  if (name.endsWith('.')) return 'ends in a dot; write the host name without it'

  // The URL parser reads full-width letters and circled digits as plain ones, and skips invisible characters.
  if (name.normalize('NFKD') !== name.normalize('NFD') || /[^\P{C}\u200c\u200d]|。/u.test(name)) {
    return 'has full-width or invisible characters; type the host name again'
  }
  // A site on the developer's own computer has no certificate.
  const url = URL.parse(`${typedScheme ?? (LOOPBACK.test(name) ? 'http' : 'https')}://${name}${port === undefined ? '' : `:${port}`}`)
  if (url === null) return 'is no host name that a browser can open'
  const isAddress = url.hostname.startsWith('[') || /^\d+\.\d+\.\d+\.\d+$/.test(url.hostname)
  if (isAddress && url.hostname !== name) return `is an IP address in an unusual form; write ${url.host} if you mean it`
  if (isAddress && isWildcard) return 'has a `*` before an IP address, which has no subdomains'
  if (!isAddress && !isName(url.hostname)) return 'is no host name: it has an empty or too long part, or a character that no host name has'
  if (isWildcard && isPublicSuffix(url.hostname)) {
    const advice = previewHostOf(`x.${url.hostname}`) === null ? '' : `. ${capital(FOR_PREVIEWS)}`
    return `would allow everybody’s site under ${url.hostname}; name your own host${advice}`
  }
  return { origin: url.origin, isWildcard }
}

// Schemes in the origins of apps and extensions: Capacitor, Ionic, Tauri, Electron and browsers.
const APP_SCHEMES = /^(capacitor(-electron)?|ionic|cordova|tauri|wails|electron|app|file|asset|ms-appx(-web)?|[a-z-]+-extension)$/
const LOOPBACK = /^((.+\.)?localhost|127(\.\d+){3}|0\.0\.0\.0|\[::1\])$/i

// Hosts that give each branch a preview address beside strangers' sites, such as deploy-preview-1--shop.netlify.app.
const PREVIEW_HOSTS =
  /\.(netlify\.(?:app|com)|vercel\.(?:app|dev)|now\.sh|onrender\.com|web\.app|firebaseapp\.com|herokuapp\.com|azurestaticapps\.net|surge\.sh|up\.railway\.app|fly\.dev|deno\.dev|pages\.dev|workers\.dev)$/i
const FOR_PREVIEWS =
  'for previews use a domain of your own, such as *.preview.example.com, or let a server ask, with a server key (SERVER_KEYS)'
const previewHostOf = (name: string): string | null => PREVIEW_HOSTS.exec(name)?.[1] ?? null
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

const MISTAKES: readonly (readonly [sign: string, problem: string])[] = [
  [';', 'has a semicolon; separate entries with spaces or commas'],
  ['@', 'has a user name in it; write the host name alone'],
  ['\\', 'has a backslash; write the host name alone'],
  ['%', 'has a percent sign; write the host name as a browser shows it'],
  ['?', 'has a query; write the host name alone'],
  ['#', 'has a fragment; write the host name alone'],
  ['/', 'has a path; a site is allowed as a whole, so write the host name alone'],
  ['"', 'has quotation marks; write the host name without them'],
  ["'", 'has quotation marks; write the host name without them'],
]

function isName(host: string): boolean {
  return host.length <= MAX_NAME_LENGTH && host.split('.').every((label) => isLabel(label, 0, label.length))
}

/** Short and printable, for a log line. Text before an `@` may be a password and is left out. */
function shown(entry: string): string {
  const printable = entry.replace(/^.*@/s, '…@').replace(/[\p{C}`]/gu, '�')
  return printable.length > 80 ? `${printable.slice(0, 79)}…` : printable
}
