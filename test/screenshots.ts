// npm run screenshots: every page, on a phone and a desktop, light and dark, into docs/screenshots/.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import { AGENT, ALERTS, loadPictures, type OwnersAgent, SOME, startOwnersAgent } from './browser/owners-agent.ts'
import { startFacebook } from './support/facebook.ts'
import { facebookSettings } from './support/owner.ts'
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
  // A client's link: its page in each state, and the owner's card.
  const facebook = await startFacebook({ knobs: { pages: 3 } })
  t.teardown(() => facebook.close())
  facebook.redirectUris.push(`${AGENT}/connect/facebook/callback`)
  const linked = await startOwnersAgent(t, [], { env: facebookSettings(facebook) })
  for (const [device, viewport] of Object.entries(SIZES)) await shootLinks(linked, { ...LOOK, viewport }, device)
} finally {
  for (const end of endings) await end()
}
process.exit(0)

async function shoot(context: BrowserContext, pages: Record<string, string>, suffix: string): Promise<void> {
  const tab = await context.newPage()
  for (const [name, path] of Object.entries(pages)) {
    await tab.goto(AGENT + path)
    await picture(tab, `${name}-${suffix}`)
  }
  await context.close()
}

async function picture(tab: Page, file: string): Promise<void> {
  await loadPictures(tab)
  const [width, whole] = await tab.evaluate<[number, number]>('[innerWidth, document.documentElement.scrollHeight]')
  const clip = { x: 0, y: 0, width, height: Math.min(whole, README_HEIGHTS[file] ?? MAX_HEIGHT) }
  writeFileSync(join(FOLDER, `${file}.png`), shrinkPng(await tab.screenshot({ fullPage: true, clip })))
}

async function shootLinks(agent: OwnersAgent, look: typeof LOOK & { viewport: object }, device: string): Promise<void> {
  const owner = await (await agent.signIn(look as never)).newPage()
  const client = await (await agent.browser.newContext(look as never)).newPage()
  const card = async (state: string): Promise<void> => {
    const shot = await owner.locator('section:has(> #its-link)').screenshot()
    writeFileSync(join(FOLDER, `link-${state}-${device}.png`), shrinkPng(shot))
  }
  const page = (state: string): Promise<void> => picture(client, `invite-${state}-${device}`)
  const create = async (provider: 'instagram' | 'facebook'): Promise<void> => {
    await owner.goto(`${AGENT}/admin`)
    const other = owner.getByText('With a name of your choice')
    if (await other.isVisible()) await other.click()
    await owner.locator('#name').fill(`${provider}-${device}`)
    await owner.locator('#provider').selectOption(provider)
    await owner.getByRole('button', { name: 'Create' }).click()
    await owner.waitForURL(/done=created/)
  }
  const make = async (username = ''): Promise<void> => {
    await owner.getByLabel('Your words to the client').fill('Hello Ana,\nplease connect the account of Moss & Clay. Thank you!')
    if (username !== '') await owner.getByLabel('The client’s user name').fill(username)
    await owner.getByRole('button', { name: 'Make a link for the client' }).click()
    const link = (await owner.locator('#made-link').textContent()) ?? ''
    await client.goto(link)
  }
  const revoke = () => owner.getByRole('button', { name: 'Revoke the link' }).click()
  const press = (title: string) => client.getByRole('button', { name: `Connect ${title}` }).click()

  await create('instagram')
  await card('none')
  await make('moss.studio')
  await card('made')
  await page('open')
  await press('Instagram')
  await client.getByRole('alert').waitFor()
  await page('other-user')
  await owner.goto(`${AGENT}/admin/accounts/instagram-${device}`)
  await card('open')
  await revoke()
  await make()
  await press('Instagram')
  await client.getByRole('status').waitFor()
  await page('waits')
  await owner.goto(`${AGENT}/admin/accounts/instagram-${device}`)
  await card('waits')
  await owner.getByRole('button', { name: 'Yes, take it' }).click()
  await client.reload()
  await page('used')
  await create('facebook')
  await make()
  const facebookLink = client.url()
  await press('Facebook')
  await client.getByRole('button', { name: 'None of these' }).waitFor()
  await page('choice')
  await revoke()
  await client.goto(facebookLink)
  await page('ended')
  await client.goto(`${AGENT}/invite/no-such-link`)
  await page('unknown')
  await owner.context().close()
  await client.context().close()
}
