import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { processRoot } from './process-root.ts'

/** What the starters need of a test: somewhere to say how to clear up. */
export interface Teardown {
  teardown(clearUp: () => unknown): unknown
}

/** A new empty folder, removed when the test is over (without a test: when the process is). */
export function tempFolder(t?: Teardown, name = 'folder'): string {
  const folder = mkdtempSync(join(processRoot(), `${name}-`))
  t?.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}
