import { words } from '../support/words.ts'

const says =
  (problem: RegExp) =>
  (text: TemplateStringsArray): (readonly [string, RegExp])[] =>
    words(text).map((entry) => [entry, problem])

/** Origins close to `example.com`, `*.example.org`, … of the test's list, which the list must refuse. */
export const REFUSED_ORIGINS: readonly string[] = [
  // nothing, and what browsers send for pages without an address
  ...words`null NULL undefined * about:blank about:srcdoc file:// file:///etc/passwd`,
  ...['', ' '],
  // another scheme around, or in place of, a listed site
  ...words`
    blob:https://example.com blob:https://example.com/0a1b data:text/html,https://example.com filesystem:https://example.com
    javascript://example.com ws://example.com wss://example.com ftp://example.com chrome-extension://example.com
    view-source:https://example.com http://example.com https+http://example.com httpss://example.com ttps://example.com
    wss://a.example.org ftp://a.example.org blob:https://a.example.org http://a.example.org https:a.example.org
  `,
  // suffix and prefix confusion
  ...words`
    https://evilexample.com https://example.com.evil.com https://example.community https://example.co https://xample.com
    https://example.com-evil.com https://evil.com-example.com https://example-com.evil.com https://example.comevil.com
    https://a.example.com https://www.example.com https://example.com.example.com https://com https://.com https://evilexample.org
    https://a.evilexample.org https://a.example.org.evil.com https://example.org.evil.com https://a-example.org https://example.org
    https://.example.org https://a..example.org https://..example.org https://a.example.orga https://a.example.or https://aexample.org
    https://org https://a.org https://example.a.org https://localhost http://localhost http://localhost:80 http://localhost:808
    http://localhost:80800 https://localhost:8080 http://localhost:8080.evil.com http://localhost.evil.com:8080
    http://evil.localhost:8080
  `,
  // user information
  ...words`
    https://example.com@evil.com https://evil.com@example.com https://@example.com https://:@example.com https://u:p@example.com
    https://evil.com@a.example.org https://u@a.example.org https://a.example.org@evil.com https://example.com:443@evil.com
    https://example.com%40evil.com https://evil.com%40example.com https://a%40b.example.org
  `,
  // slashes, paths, queries, fragments
  ...words`
    https://example.com/ https://example.com// https://example.com/x https://example.com? https://example.com# https://example.com#x
    https://evil.com/example.com https://evil.com/https://example.com https://evil.com?https://example.com
    https://evil.com#https://example.com https://evil.com/.example.org https://evil.com?.example.org https://evil.com#.example.org
    https://evil.com#a.example.org https://a.example.org/ https://a.example.org/x https://a.example.org?x https://a.example.org#x
    https:///a.example.org https:example.com https:/example.com https:///example.com https:////example.com //example.com /example.com
    example.com https:// https: https ://example.com https//example.com https:://example.com a.example.org .example.org
  `,
  // backslashes
  ...['https:\\\\example.com', 'https:/\\example.com', 'https://example.com\\', 'https://example.com\\.evil.com'],
  ...['https://evil.com\\.example.com', 'https://evil.com\\a.example.org', 'https://evil.com\\.example.org', 'https://a.example.org\\'],
  ...['https://evil.com\\@a.example.org'],
  // white space and control characters, which URL parsers strip
  ...[' https://example.com', 'https://example.com ', '\thttps://example.com', 'https://example.com\t', 'https://exam\tple.com'],
  ...['https://exam\nple.com', 'https://example.com\n', 'https://example.com\r\n', 'https://example.com\0'],
  ...['https://example.com\0.evil.com', '\0https://example.com', 'ht\ntps://example.com', 'https:\t//example.com'],
  ...['https://a.exam\tple.org', 'https://a.example.org\n', '\u0001https://a.example.org', 'https://a.example.org '],
  ...[' https://a.example.org', 'https://a .example.org', 'https://evil.com .example.org', 'https://evil.com\u000b.example.org'],
  ...['\ufeffhttps://example.com', 'https://example.com\u00a0', 'https://example.com\u2028', 'https://example.com\u200b'],
  ...['https://exam\u00adple.com'],
  // two in one
  ...words`
    https://example.com,https://evil.com https://evil.com,https://example.com https://example.com;https://evil.com
    https://a.example.org,https://b.example.org https://evil.com,a.example.org https://evil.com;a.example.org
  `,
  ...['https://example.com, https://evil.com', 'https://example.com https://evil.com', 'https://evil.com https://example.com'],
  ...['https://example.com, null'],
  // full-width and other look-alikes, and Unicode dots
  ...words`
    https://ｅｘａｍｐｌｅ.com https://example．com https://example。com https://example｡com https：//example.com https://example.com／
    https://example.com／.evil.com https://evil.com／.example.com https://a．example.org https://evil.com／a.example.org
    https://ехample.com https://exаmple.com https://xn--exmple-4nf.com https://example.cоm https://EXAMPLE.com https://example.ⓒom
    https://a。example.org https://ａ.example.org https://ä.example.org https://a.ｅxample.org https://evil.com⁄.example.org
    https://münchen.de https://MÜNCHEN.de https://münchen.de https://xn--mnchen-3yA.de https://XN--MNCHEN-3YA.de https://munchen.de
  `,
  // percent signs
  ...words`
    https://example%2ecom https://example.com%2eevil.com https://evil.com%2eexample.com https://%65xample.com https://example.com%00
    https://example.com%2f.evil.com https://evil.com%2f.example.org https://evil.com%23.example.org https://a%2eexample.org
    https%3a//example.com https://example.com% https://example.com%5c https://%61.example.org https://evil.com%0a.example.org
  `,
  // upper case, trailing dots
  ...words`
    HTTPS://example.com https://Example.com https://EXAMPLE.COM Https://example.com https://A.example.org https://a.Example.org
    https://example.com. https://example.com.. https://a.example.org. https://a.example.org.. http://localhost.:8080
  `,
  // ports
  ...words`
    https://example.com:443 https://example.com:0443 https://example.com:80 https://example.com:8443 https://example.com:
    https://example.com:0 https://example.com:65536 https://example.com:99999 https://example.com:-1 https://example.com:4x3
    https://example.com:443.evil.com https://example.com:+443 https://example.com:443:443 https://example.com:४४३
    https://example.com:４４３ https://a.example.org:443 https://a.example.org:8443 https://a.example.org: https://a.example.org:80
    https://a.example.org:443@evil.com https://a.example.net https://a.example.net:443 https://a.example.net:08443
    https://a.example.net:8444 https://a.example.net:84430 http://a.example.net:8443 https://example.net:8443
    https://a.example.net:8443/ https://.example.net:8443
  `,
  ...['https://example.com: 443', 'https://a.example.net:8443 '],
  // IP addresses in every shape but the canonical one
  ...words`
    http://2130706433:3000 http://0x7f000001:3000 http://0x7f.0.0.1:3000 http://0177.0.0.1:3000 http://127.1:3000 http://127.0.1:3000
    http://127.0.0.1.:3000 http://127.0.0.01:3000 http://①②⑦.0.0.1:3000 http://127。0。0。1:3000 http://0.0.0.0:3000
    http://127.0.0.2:3000 http://127.0.0.1 https://127.0.0.1:3000 http://127.0.0.1:3000.evil.com http://1127.0.0.1:3000
    http://127.0.0.1.nip.io:3000 http://a.127.0.0.1:3000 http://[::ffff:127.0.0.1]:3000 http://[::ffff:7f00:1]:3000
    http://localhost:3000 http://127.0.0.1:03000 http://::1:3000 http://[::1] http://[0:0:0:0:0:0:0:1]:3000 http://[0::1]:3000
    http://[::01]:3000 http://[::1%25lo]:3000 http://[::1%lo]:3000 http://[::1]:03000 http://[::1]a:3000 http://[::1].example.org
    http://[::2]:3000 http://[::1 http://::1]:3000 http://[[::1]]:3000
  `,
  // characters that URLs allow in a host, and web host names do not
  ...words`
    https://*.example.org https://* https://!.example.org https://'.example.org https://(a).example.org https://a,b.example.org
    https://a=b.example.org https://a&b.example.org https://$.example.org https://a~.example.org https://{a}.example.org
    https://"a".example.org https://<a>.example.org https://a|b.example.org https://a^b.example.org https://[a].example.org
    https://a+b.example.org
  `,
  ...['https://a`.example.org'],
  // too long for the domain name system
  `https://${'a'.repeat(64)}.example.org`,
  `https://${'a.'.repeat(200)}example.org`,
  `https://${'a.'.repeat(100_000)}example.org`,
  `https://example.com${'/'.repeat(100_000)}`,
  `${' '.repeat(100_000)}https://example.com`,
]

/** Entries of ALLOWED_DOMAINS, with a word of their problem. */
export const REFUSED_ENTRIES: readonly (readonly [entry: string, says: RegExp])[] = [
  ...says(/every web site; name your own host/)`* */ https://* http://* *:8080 *:* https://*:8443 https://*/`,
  ...says(/name your own host/)`null NULL Null null/`,
  ...[
    '*.github.io',
    '*.herokuapp.com',
    '*.com',
    '*.co.uk',
    '*.vercel.app',
    '*.netlify.app',
    '*.web.app',
    '*.pages.dev',
    '*.appspot.com',
  ].map(
    (e) =>
      [
        e,
        new RegExp(
          `^\`${e.replaceAll('.', '\\.').replace('*', '\\*')}\` would allow everybody’s site under .*; name your own host($|\\. For previews use )`,
        ),
      ] as const,
  ),
  ...says(/everybody’s site/)`
    https://*.github.io https://*.github.io:8443 *.GitHub.IO *.github.io/ *.localhost *.kawasaki.jp *.s3.amazonaws.com
  `,
  ...says(/everybody’s site/)`*.公司.cn *.xn--55qx5d.cn *.ck *.org *.de *.azurewebsites.net *.onrender.com *.fly.dev`,
  ...says(/path/)`https://example.com/x example.com/x/ example.com// /example.com //example.com https:///example.com`,
  ...says(/path|no host/)`https:/example.com https://// http://evil.com/https://example.com`,
  ...says(/query/)`example.com?x https://example.com/? example.com?`,
  ...says(/fragment/)`example.com#x https://example.com/# #example.com`,
  ...says(/user name/)`user@example.com https://user:pw@example.com @example.com https://example.com@evil.com`,
  ...says(/percent/)`example.com%2eevil.com %65xample.com example.com% [fe80::1%25eth0] 100%`,
  ...['example.com\\', 'https:\\\\example.com', 'example.com\\evil.com', '\\\\example.com'].map((e) => [e, /backslash/] as const),
  ...says(/semicolon/)`example.com;example.org example.com; ; ;example.com`,
  ...says(/quotation marks/)`"example.com" 'self' 'none' 'example.com`,
  ...says(/ends in a dot/)`example.com. https://example.com./ *.example.com. example.com.. localhost.:8080`,
  ...says(/starts with a dot/)`.example.com ..example.com https://.example.com *..example.com .`,
  ...says(/`\*` in the wrong place/)`
    *example.com www.*.com example.* *.*.example.com **.example.com a*.example.com *.* ** *.exa*mple.com
  `,
  ...says(/is no web site/)`ftp://example.com blob:https://example.com ws://example.com view-source:https://example.com`,
  ...says(/is no web site: every app or extension of this kind shares this origin .* a server key \(SERVER_KEYS\)$/)`
    capacitor://localhost Capacitor://localhost/ ionic://localhost tauri://localhost app://bundle file:///x file://
    chrome-extension://abc moz-extension://abc
  `,
  ...says(/has a `\*` inside a name, .* use a domain of your own, such as \*\.preview\.example\.com, .* server key/)`
    *--shop.netlify.app deploy-preview-*--shop.netlify.app shop-*.vercel.app https://shop-git-*-team.vercel.app shop--*.web.app
    shop-pr-*.onrender.com
  `,
  ...says(/is no web site/)`://example.com httpss://example.com https+://example.com ｈttps://example.com`,
  ...says(/port/)`
    example.com:0 example.com:65536 example.com:99999 example.com: example.com:x example.com:-1 example.com:080 example.com:1e3
  `,
  ...says(/port/)`https:example.com example.com:80:80 javascript:alert(1) mailto:x data:x about:blank ::1 example.com:４４３ example.com:*`,
  ...says(/IP address in an unusual form; write /)`
    2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 127.1 127.0.1 127.0.0.01 0 1 [0:0:0:0:0:0:0:1] [::FFFF:1] [::127.0.0.1]
  `,
  ...says(/before an IP address/)`*.127.0.0.1 *.[::1] http://*.10.0.0.1:8080`,
  ...says(/no host name that a browser can open/)`
    1.2.3.256 1.2.3.4.5 256.256.256.256 a.1 example.0x1 [] [::g] exa[mple.com exa<mple.com exa|mple.com ^
  `,
  ...says(/is no host name: /)`
    a..example.com exa!mple.com (example.com) $ a=b example.com& ~
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.com
    a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.com
  `,
  ...['`example.com`'].map((e) => [e, /is no host name: /] as const),
  ...says(/full-width or invisible/)`＊.example.com ｅｘａｍｐｌｅ.com example．com example。com example｡com ①②⑦.0.0.1`,
  ...['exam\u200bple.com', 'exam\u00adple.com', 'exa\0mple.com'].map((e) => [e, /full-width or invisible/] as const),
  ...says(/full-width or invisible/)`example.com／x user＠example.com`,
  ...['exam\u202eple.com', 'example.com\u0085'].map((e) => [e, /full-width or invisible/] as const),
  ...says(/no host name|port|path/)`*. https:// https:/// / *.:8080 :8080 []:x`,
]

/** An entry, an origin that it allows, and a similar one that it refuses. */
export const ACCEPTED_ENTRIES: readonly (readonly [entry: string, allowed: string, refused: string])[] = [
  ['example.com', 'https://example.com', 'http://example.com'],
  ['example.com/', 'https://example.com', 'https://www.example.com'],
  ['https://example.com/', 'https://example.com', 'https://example.com/'],
  ['HTTPS://Example.COM', 'https://example.com', 'https://Example.com'],
  ['http://example.com', 'http://example.com', 'https://example.com'],
  ['https://example.com:443', 'https://example.com', 'https://example.com:443'],
  ['http://example.com:80/', 'http://example.com', 'http://example.com:80'],
  ['http://example.com:443', 'http://example.com:443', 'https://example.com'],
  ['example.com:443', 'https://example.com', 'http://example.com'],
  ['example.com:8443', 'https://example.com:8443', 'https://example.com'],
  ['example.com:65535', 'https://example.com:65535', 'https://example.com:6553'],
  ['http://localhost:8080', 'http://localhost:8080', 'http://localhost'],
  ['localhost', 'http://localhost', 'https://localhost'],
  ['localhost:8080', 'http://localhost:8080', 'https://localhost:8080'],
  ['LocalHost:8080/', 'http://localhost:8080', 'http://localhost'],
  ['https://localhost:8080', 'https://localhost:8080', 'http://localhost:8080'],
  ['shop.localhost:3000', 'http://shop.localhost:3000', 'http://localhost:3000'],
  ['*.shop.localhost:3000', 'http://a.shop.localhost:3000', 'http://a.localhost:3000'],
  ['127.0.0.1:5173', 'http://127.0.0.1:5173', 'https://127.0.0.1:5173'],
  ['[::1]:4321', 'http://[::1]:4321', 'https://[::1]:4321'],
  ['localhost.example.com', 'https://localhost.example.com', 'http://localhost.example.com'],
  ['*.example.com', 'https://a.example.com', 'https://example.com'],
  ['*.example.com', 'https://a.b.c.example.com', 'https://a.b.c-example.com'],
  ['*.Example.com/', 'https://a-b_1.example.com', 'https://a.example.com:8443'],
  ['https://*.example.com:8443', 'https://a.example.com:8443', 'https://a.example.com'],
  ['http://*.example.com:8080', 'http://a.example.com:8080', 'https://a.example.com:8080'],
  ['http://*.example.com', 'http://a.example.com', 'https://a.example.com'],
  ['*.you.github.io', 'https://a.you.github.io', 'https://evil.github.io'],
  ['you.github.io', 'https://you.github.io', 'https://a.you.github.io'],
  ['github.io', 'https://github.io', 'https://you.github.io'],
  ['*.example.co.uk', 'https://a.example.co.uk', 'https://a.co.uk'],
  ['münchen.de', 'https://xn--mnchen-3ya.de', 'https://münchen.de'],
  ['MU\u0308NCHEN.de', 'https://xn--mnchen-3ya.de', 'https://munchen.de'],
  ['*.münchen.de', 'https://a.xn--mnchen-3ya.de', 'https://xn--mnchen-3ya.de'],
  ['*.münchen.de', 'https://xn--mnchen-3ya.xn--mnchen-3ya.de', 'https://xn--mnchen-3ya.de.evil.com'],
  ['straße.de', 'https://xn--strae-oqa.de', 'https://strasse.de'],
  ['例え.jp', 'https://xn--r8jz45g.jp', 'https://xn--r8jz45g.jp.evil.com'],
  ['xn--mnchen-3ya.de', 'https://xn--mnchen-3ya.de', 'https://mnchen-3ya.de'],
  ['127.0.0.1', 'http://127.0.0.1', 'https://2130706433'],
  ['http://192.168.1.10:3000', 'http://192.168.1.10:3000', 'http://192.168.1.1:3000'],
  ['http://[::1]:3000', 'http://[::1]:3000', 'http://[::2]:3000'],
  ['my_site.example.com', 'https://my_site.example.com', 'https://mysite.example.com'],
  ['a--b.example.com', 'https://a--b.example.com', 'https://a-b.example.com'],
  ['123.example.com', 'https://123.example.com', 'https://12.example.com'],
]
