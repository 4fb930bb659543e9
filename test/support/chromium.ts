import { type Browser, chromium } from 'playwright-core'
import { binary } from './services.ts'
import type { Sites } from './sites.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--ignore-certificate-errors',
]

/** The system's Chromium, for which the given sites are the whole internet. */
export async function launchChromium(t: Teardown, sites?: Sites): Promise<Browser> {
  const rules = (sites?.hosts ?? []).map((host) => `MAP ${host}:443 127.0.0.1:${sites?.port}`)
  // Exclusions must come before the rule that lets every other name fail.
  const resolver = ['EXCLUDE 127.0.0.1', 'EXCLUDE localhost', ...rules, 'MAP * ~NOTFOUND'].join(', ')
  const { TMPDIR: before } = process.env
  const folder = tempFolder(t, 'c')
  try {
    // Playwright asks for the folder for temporary files just here, and what it puts there survives a kill.
    process.env['TMPDIR'] = folder
    const browser = await chromium.launch({
      executablePath: binary('chromium'),
      headless: true,
      // With handlers of its own the process would survive SIGTERM; Chromium ends with the pipe to us anyway.
      handleSIGHUP: false,
      handleSIGINT: false,
      handleSIGTERM: false,
      args: [...FLAGS, `--host-resolver-rules=${resolver}`],
    })
    t.teardown(() => browser.close())
    return browser
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  }
}
