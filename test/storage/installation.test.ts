import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createInstallationStore, prepareInstallation } from '../../src/storage/installation.ts'
import { openSqlite } from '../../src/storage/sqlite.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { eachStore } from './engines.ts'

const HERE = 'https://token.example.com'

eachStore(t, 'a store keeps its namespace in the cache, and gets a new one at another address', async (t, db) => {
  const installation = createInstallationStore(db)
  t.equal(await installation.read(), null)
  await prepareInstallation(db, null)
  t.match(await installation.read(), { cacheId: /^[\w-]{22}$/ }, 'by a command before the first start')
  await prepareInstallation(db, HERE)
  const first = await installation.read()
  t.match(first, { cacheId: /^[\w-]{22}$/, signedOutAt: null })
  await prepareInstallation(db, HERE)
  t.strictSame(await installation.read(), first)
  await prepareInstallation(db, null)
  t.strictSame(await installation.read(), first, 'a command without the address does not take the store for a copy')
  t.equal(first?.copiedAt, null)
  await prepareInstallation(db, 'https://staging.example.com')
  const copy = await installation.read()
  t.not(copy?.cacheId, first?.cacheId)
  t.ok(copy?.copiedAt instanceof Date)
  await installation.signOutEverywhere()
  t.ok((await installation.read())?.signedOutAt instanceof Date)
})

eachStore(t, 'a copied file gets its own namespace', async (t, db, { name, address }) => {
  if (name !== 'sqlite') return
  await prepareInstallation(db, HERE)
  const original = await createInstallationStore(db).read()
  await db.query('pragma wal_checkpoint(truncate)')
  const path = join(tempFolder(t), 'copy.db')
  copyFileSync(address, path)
  const copy = await openSqlite(path)
  t.teardown(() => copy.close())
  await prepareInstallation(copy, HERE)
  t.not((await createInstallationStore(copy).read())?.cacheId, original?.cacheId)
})
