import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, type BrowserContext, chromium, firefox } from 'playwright-core'
import { processRoot } from './process-root.ts'
import { binary } from './services.ts'
import type { Sites } from './sites.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'
import { words } from './words.ts'

export const BROWSERS = ['chromium', 'firefox'] as const
export type BrowserName = (typeof BROWSERS)[number]

// The box for addresses is a page of its own in each window, and each context opens a window: a third of its cost. This list
// replaces Playwright's, so the features of that one that a test could notice are named again.
const NO_FEATURES = words`
  WebUIOmniboxPopup WebUIOmniboxAimPopup AimEnabled AvoidCorsURLLoaderRestartOnRedirect BlockOriginHeaderModificationOnRedirect
  HttpsUpgrades MediaRouter OptimizationHints PaintHolding ThirdPartyStoragePartitioning Translate
`

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--ignore-certificate-errors',
  `--disable-features=${NO_FEATURES.join()}`,
]

/**
 * Starts a system browser that reaches only the given sites. Firefox trusts their certificate per context:
 * ignoreHTTPSErrors. `trackers`: hosts that its tracking protection blocks.
 */
export async function launchBrowser(
  t: Teardown,
  name: BrowserName,
  sites: Sites = { hosts: [], port: 0 },
  { trackers = [] }: { trackers?: readonly string[] } = {},
): Promise<Browser> {
  // Playwright reads the temporary folder at launch; its files survive a kill, so it gets ours.
  process.env['TMPDIR'] = processRoot()
  const browser = name === 'chromium' ? await launchChromium(sites) : await launchFirefox(sites, tempFolder(t, 'firefox'), trackers)
  t.teardown(() => browser.close())
  return browser
}

// With Playwright's signal handlers the test process would survive SIGTERM.
const UNHANDLED = { headless: true, handleSIGHUP: false, handleSIGINT: false, handleSIGTERM: false }

/** Chromium with a profile, in which its password manager works. */
export async function launchKeepingPasswords(t: Teardown): Promise<BrowserContext> {
  process.env['TMPDIR'] = processRoot()
  // Under automation the password manager is off, and Chromium would ask the desktop's key store.
  const context = await chromium.launchPersistentContext(tempFolder(t, 'profile'), {
    ...UNHANDLED,
    executablePath: binary('chromium'),
    args: [...chromiumFlags({ hosts: [], port: 0 }), '--password-store=basic'],
    ignoreDefaultArgs: ['--enable-automation'],
  })
  t.teardown(() => context.close())
  return context
}

function launchChromium(sites: Sites): Promise<Browser> {
  return chromium.launch({ ...UNHANDLED, executablePath: binary('chromium'), args: chromiumFlags(sites) })
}

function chromiumFlags({ hosts, port }: Sites): string[] {
  const rules = hosts.map((host) => `MAP ${host}:443 127.0.0.1:${port}`)
  // Exclusions must precede the rule that makes every other name fail.
  const resolver = ['EXCLUDE 127.0.0.1', 'EXCLUDE localhost', ...rules, 'MAP * ~NOTFOUND'].join(', ')
  return [...FLAGS, `--host-resolver-rules=${resolver}`]
}

// Over WebDriver BiDi, which Debian's Firefox supports. Playwright 1.65 starts every context with
// emulation.setMediaFeaturesOverride, which Firefox ESR 153 lacks, so 1.64 is pinned.
function launchFirefox({ hosts, port }: Sites, folder: string, trackers: readonly string[]): Promise<Browser> {
  // Chromium ends when its pipe closes. Firefox does not, so it lists itself for the sweeper of process-root.ts.
  const program = join(folder, 'firefox')
  const list = `mkdir '${folder}/pids' && echo KILL >'${folder}/pids/'$$`
  writeFileSync(program, `#!/bin/sh\n${list} && exec '${binary('firefox')}' "$@"\n`, { mode: 0o700 })
  return firefox.launch({
    ...UNHANDLED,
    channel: 'moz-firefox',
    executablePath: program,
    // Firefox refuses another user's home, and would leave caches in ours.
    env: { PATH: process.env['PATH'], TMPDIR: folder, HOME: folder },
    // Firefox has no resolver rules: these names map to localhost, no other name resolves, and port 443 maps to the sites.
    firefoxUserPrefs: {
      'network.dns.localDomains': hosts.join(),
      'network.dns.disabled': true,
      'network.socket.forcePort': `443=${port}`,
      // Its own list of trackers comes from the network; these are blocked in its place.
      ...(trackers.length === 0
        ? {}
        : { 'privacy.trackingprotection.enabled': true, 'urlclassifier.trackingTable.testEntries': trackers.join() }),
    },
  })
}
