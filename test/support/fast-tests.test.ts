import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fastTests } from './fast-tests.ts'
import { whatFor } from './install.ts'
import { SERVICES, type Service } from './services.ts'

t.test('npm run test:fast skips files that start a process or a service, directly or through imports', async (t) => {
  const files = fastTests()
  for (const path of ['test/reading/allow-list.test.ts', 'test/core/token.test.ts', 'test/providers/instagram/instagram.test.ts'])
    t.ok(files.includes(path), path)
  for (const path of ['test/cache/memcached.test.ts', 'test/http/sign-in.test.ts', 'test/browser/pages.test.ts', 'test/floors.test.ts'])
    t.notOk(files.includes(path), path)
  for (const path of files) t.notMatch(readFileSync(join(import.meta.dirname, '../..', path), 'utf8'), /\bmissing\(|\blaunch\(/, path)
})

t.test('the list before an installation names each package and its purpose', async (t) => {
  const said = whatFor(Object.keys(SERVICES) as Service[])
  for (const { debianPackage, usedFor } of Object.values(SERVICES)) t.match(said, `  ${debianPackage}: ${usedFor}\n`.trimEnd())
})
