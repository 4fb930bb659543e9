import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** The paths of all files below this folder whose names end so. */
export function filesUnder(folder: string, ending: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(ending))
    .map((path) => join(folder, path))
    .toSorted()
}
