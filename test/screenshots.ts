// npm run screenshots: every page, on a phone and a desktop, light and dark, into docs/screenshots/.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContext } from 'playwright-core'
import { AGENT, ALERTS, loadPictures, SOME, startOwnersAgent } from './browser/owners-agent.ts'
import { shrinkPng } from './support/small-png.ts'

const FOLDER = join(import.meta.dirname, '../docs/screenshots')
/** Longer pages are cut off. */
const MAX_HEIGHT = 1900
/** The heights of the README's pictures. */
const README_HEIGHTS: Record<string, number> = { 'setup-fresh-phone-light': 1290, 'status-desktop-light': 1090 }
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } } as const
const OPEN = { home: '/', setup: '/setup', status: '/status', 'sign-in': '/admin/sign-in', 'not-found': '/no-such-page' }
const OWN = {
  home: '/',
  setup: '/setup',
  status: '/status',
  accounts: '/admin',
  account: '/admin/accounts/default',
  history: '/admin/accounts/default/history',
}

const LOOK = { ignoreHTTPSErrors: true, locale: 'en-GB', timezoneId: 'Europe/Paris' }

const endings: (() => unknown)[] = []
const t = { teardown: (end: () => unknown) => void endings.unshift(end) }
mkdirSync(FOLDER, { recursive: true })
try {
  // A fresh agent for the first steps, and one with a year of history.
  const fresh = await startOwnersAgent(t, [], { env: { ALLOWED_DOMAINS: '' } })
  const busy = await startOwnersAgent(t, SOME)
  for (const [device, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const look = { ...LOOK, viewport, colorScheme }
      const suffix = `${device}-${colorScheme}`
      await shoot(await fresh.browser.newContext(look), { 'setup-fresh': '/setup' }, suffix)
      await shoot(await busy.browser.newContext(look), Object.fromEntries(Object.entries(OPEN).map(([k, v]) => [`${k}-public`, v])), suffix)
      await shoot(await busy.signIn(look), OWN, suffix)
    }
  }
  // Each state of the alerts, in one look: the others differ in nothing else.
  for (const [state, alerts] of Object.entries({ none: {}, ...ALERTS })) {
    const agent = await startOwnersAgent(t, SOME, { alerts })
    const tested = `?tested=${state === 'arrived' ? state : 'failed'}`
    for (const [device, viewport] of Object.entries(SIZES)) {
      const context = await agent.signIn({ ...LOOK, viewport })
      const tab = await context.newPage()
      for (const [page, path, part] of [
        ['setup', `/setup${tested}`, '#step-alerts'],
        ['status', '/status', '.tiles'],
      ] as const) {
        await tab.goto(AGENT + path)
        writeFileSync(join(FOLDER, `${page}-alerts-${state}-${device}.png`), shrinkPng(await tab.locator(part).screenshot()))
      }
      await context.close()
    }
  }
} finally {
  for (const end of endings) await end()
}
process.exit(0)

async function shoot(context: BrowserContext, pages: Record<string, string>, suffix: string): Promise<void> {
  const tab = await context.newPage()
  for (const [name, path] of Object.entries(pages)) {
    await tab.goto(AGENT + path)
    await loadPictures(tab)
    const file = `${name}-${suffix}`
    const [width, whole] = await tab.evaluate<[number, number]>('[innerWidth, document.documentElement.scrollHeight]')
    const clip = { x: 0, y: 0, width, height: Math.min(whole, README_HEIGHTS[file] ?? MAX_HEIGHT) }
    writeFileSync(join(FOLDER, `${file}.png`), shrinkPng(await tab.screenshot({ fullPage: true, clip })))
  }
  await context.close()
}
