import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import t, { type Test } from 'tap'
import { PORTS } from '../support/desktop.ts'
import { startInstagram } from '../support/instagram.ts'
import { settingsFor } from '../support/owner.ts'
import { launch } from '../support/process.ts'
import { processRoot } from '../support/process-root.ts'
import { binary, missing } from '../support/services.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { startTikTok, tiktokSettings } from '../support/tiktok.ts'
import { waitFor } from '../support/wait-for.ts'

const CLI = join(import.meta.dirname, '../../src/cli/main.ts')
const skip = missing('chromium')

/** Chromium that knows no certificate, and the command that waits for it. */
async function setUp(t: Test, args: string[], settings: Record<string, string>) {
  process.env['TMPDIR'] = processRoot()
  const unhandled = { headless: true, handleSIGHUP: false, handleSIGINT: false, handleSIGTERM: false }
  const flags = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update']
  const resolver = '--host-resolver-rules=MAP rebound.example 127.0.0.1, EXCLUDE 127.0.0.1, EXCLUDE localhost, MAP * ~NOTFOUND'
  const browser = await chromium.launch({ ...unhandled, executablePath: binary('chromium'), args: [...flags, resolver] })
  t.teardown(() => browser.close())
  const cwd = tempFolder(t, 'terminal')
  writeFileSync(join(cwd, 'xdg-open'), '#!/bin/sh\nprintf %s "$1" > "$HOME/opened"\n')
  chmodSync(join(cwd, 'xdg-open'), 0o755)
  const script = join(cwd, 'main.mjs')
  writeFileSync(
    script,
    `import { main } from ${JSON.stringify(CLI)}; await main(process.argv.slice(2), process.env, { isContainer: false })`,
  )
  const env = { HOME: cwd, PATH: `${cwd}:${process.env['PATH'] ?? ''}`, DISPLAY: ':9', ...settings }
  const command = await launch(process.execPath, [script, 'auth', ...args], { cwd, env })
  t.teardown(() => command.end('SIGKILL'))
  const opened = () => readFileSync(join(cwd, 'opened'), 'utf8')
  await waitFor('the browser to be opened', async () => opened() !== '')
  return { command, page: await (await browser.newContext()).newPage(), address: opened() }
}

t.test('a person gets past the certificate in Chromium, and the page says what came of it', { skip }, async (t) => {
  const instagram = await startInstagram({ knobs: { consent: 'page', signedInAs: '17841400379535405' } })
  t.teardown(() => instagram.close())
  for (const port of PORTS) instagram.apps[0]?.redirectUris.push(`https://localhost:${port}/`)
  const { command, page, address } = await setUp(t, ['instagram'], settingsFor(instagram))
  await page.goto(address)
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.locator('#details-button').click()
  await page.locator('#proceed-link').click()
  await page.getByRole('heading', { name: 'Connected' }).waitFor()
  t.equal(new URL(page.url()).search, '', 'the code is no longer in the address bar')
  t.equal((await command.exited).code, 0)
  t.match(command.stderr(), /choose “Advanced”, then “Proceed to localhost”/)
})

t.test('a page of another site reads nothing of the listener for TikTok', { skip }, async (t) => {
  const tiktok = await startTikTok({ knobs: { kind: 'desktop', consent: 'page' } })
  t.teardown(() => tiktok.close())
  tiktok.redirectUris.push('http://127.0.0.1:*/callback/')
  const settings = { ...tiktokSettings(tiktok), TIKTOK_APP_KIND: 'desktop', APP_URL: 'http://localhost:3000' }
  const { command, page, address } = await setUp(t, ['tiktok', 'shop'], settings)
  const redirect = new URL(new URL(address).searchParams.get('redirect_uri') ?? '')
  // Chromium calls an empty 421 a failure.
  const other = await page.context().newPage()
  await t.rejects(other.goto(`http://rebound.example:${redirect.port}/callback/?code=x&state=y`), /ERR_HTTP_RESPONSE_CODE_FAILURE/)
  await page.goto(address)
  const read = await page.evaluate(
    (url) =>
      fetch(url).then(
        (answer) => answer.text(),
        (error: Error) => error.message,
      ),
    `${redirect.href}?error=access_denied`,
  )
  t.match(read, /Failed to fetch/)
  await page.getByRole('button', { name: 'approve' }).click()
  await page.getByRole('heading', { name: 'Connected' }).waitFor()
  t.equal((await command.exited).code, 0)
})
