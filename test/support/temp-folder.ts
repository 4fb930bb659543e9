import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { processRoot } from './process-root.ts'

/** The part of a test that starters need: a place for teardowns. */
export interface Teardown {
  teardown(clearUp: () => unknown): unknown
}

/** A new empty folder, removed after the test, or with the process if there is none. */
export function tempFolder(t?: Teardown, name = 'folder'): string {
  const folder = mkdtempSync(join(processRoot(), `${name}-`))
  t?.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}
