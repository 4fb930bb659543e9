import { execFileSync } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Teardown, tempFolder } from './temp-folder.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** The last commit of 1.0.0: migrations 1 to 3. */
const COMMIT = 'e4ec7008394ea92945fffa28ad5d6901294748a2'
const PARTS = ['bin', 'migrations', 'package.json', 'src', 'views']

export interface OldRelease {
  readonly folder: string
  /** For `startAgent` and `runCli`. */
  readonly cli: string
  readonly migrations: string
  /** Imports a module of that release into this process, such as `storage/account-store.ts`. */
  load<Module>(path: string): Promise<Module>
}

/** The previous release from git, with this one's dependencies. It needs no build: Node strips the types. */
export function oldRelease(t: Teardown): OldRelease {
  const folder = tempFolder(t, 'old-release')
  execFileSync('tar', ['-x', '-C', folder], { input: archive() })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return {
    folder,
    cli: join(folder, 'src/cli.ts'),
    migrations: join(folder, 'migrations'),
    load: (path) => import(join(folder, 'src', path)),
  }
}

function archive(): Buffer {
  try {
    return execFileSync('git', ['archive', COMMIT, ...PARTS], { cwd: ROOT, maxBuffer: 64 * 1024 * 1024, stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const cause = 'this clone may be shallow, or no clone: git fetch --unshallow (in GitHub Actions: fetch-depth: 0)'
    throw new Error(`The release before, commit ${COMMIT}, cannot be taken out of git; ${cause}`, { cause: error })
  }
}
