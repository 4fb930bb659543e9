import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Launched, launch } from './process.ts'
import { binary } from './services.ts'
import { type Teardown, tempFolder } from './temp-folder.ts'
import { waitFor } from './wait-for.ts'

const OPEN_BUS = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=SOCKET</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`

export interface Keychain {
  /** The variables of a process of this desktop session. */
  readonly env: Record<string, string>
  readonly bus: Launched
  /** Ends the service; one that is locked or unlocked takes its place. Null = none. */
  serve(how: 'locked' | 'unlocked' | null): Promise<Launched | null>
}

/** A real Secret Service: GNOME's keyring on a bus of its own, which starts nothing by itself. */
export async function startKeychain(t: Teardown): Promise<Keychain> {
  const home = tempFolder(t, 'keychain')
  const socket = join(home, 'bus')
  writeFileSync(join(home, 'bus.conf'), OPEN_BUS.replace('SOCKET', socket))
  const env = { HOME: home, XDG_RUNTIME_DIR: home, XDG_DATA_HOME: join(home, 'data'), DBUS_SESSION_BUS_ADDRESS: `unix:path=${socket}` }
  const bus = await launch(binary('dbus'), ['--config-file', join(home, 'bus.conf'), '--nofork', '--nopidfile'], { env })
  t.teardown(() => bus.end('SIGKILL'))
  const isOwned = async (): Promise<boolean> => {
    const words = ['--session', '--print-reply', '--dest=org.freedesktop.DBus', '/', 'org.freedesktop.DBus.NameHasOwner']
    const asked = await launch('dbus-send', [...words, 'string:org.freedesktop.secrets'], { env })
    await asked.exited
    return asked.stdout().includes('boolean true')
  }
  let daemon = null as Launched | null
  t.teardown(() => daemon?.end('SIGKILL'))
  const keychain: Keychain = {
    env,
    bus,
    async serve(how) {
      bus.thaw()
      await daemon?.end('SIGKILL')
      daemon = null
      if (how === null) return null
      const options = ['--foreground', '--components=secrets', ...(how === 'unlocked' ? ['--unlock'] : [])]
      daemon = await launch(binary('keyring'), options, { env })
      daemon.stdin.end('the password of the desktop')
      await waitFor('the Secret Service', isOwned)
      return daemon
    },
  }
  await keychain.serve('unlocked')
  return keychain
}
