import { createDatabaseOn, type Database, startPostgres } from './postgres.ts'
import type { Teardown } from './temp-folder.ts'

let own: Promise<string> | undefined

/** An empty database for the test on the server shared by all tests of a run; dropped afterwards. */
export async function createDatabase(t: Teardown): Promise<Database> {
  return createDatabaseOn(await sharedServer(), t)
}

// An external server (CI's service container), else the runner's, which starts at the first use. A file that runs alone
// starts one that ends with its process.
async function sharedServer(): Promise<string> {
  const { TEST_POSTGRES_URL: given, TEST_SERVICES: runner } = process.env
  if (given !== undefined) return given
  if (runner !== undefined) {
    const answer = await fetch(`${runner}/postgres`)
    if (!answer.ok) throw new Error(await answer.text())
    return answer.text()
  }
  own ??= startPostgres().then((server) => server.url)
  return own
}
