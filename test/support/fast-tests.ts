import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { filesUnder } from './files-under.ts'

const ROOT = join(import.meta.dirname, '../..')
/** It starts only a shell that cleans up. */
const QUICK = join(import.meta.dirname, 'process-root.ts')

/** The test files that start no process, and so no service, neither directly nor through imports. */
export function fastTests(): string[] {
  const starts = new Map([[QUICK, false]])
  const startsOne = (path: string): boolean => {
    const known = starts.get(path)
    if (known !== undefined) return known
    starts.set(path, false)
    const text = readFileSync(path, 'utf8')
    const itself = /from 'node:(?:child_process|worker_threads)'/.test(text)
    const imports = [...text.matchAll(/(?:from|import) '(\.[^']+\.ts)'/g)].map(([, target = '']) => join(dirname(path), target))
    const found = itself || imports.filter((target) => !target.startsWith(join(ROOT, 'src'))).some(startsOne)
    starts.set(path, found)
    return found
  }
  return filesUnder(join(ROOT, 'test'), '.test.ts')
    .filter((path) => !startsOne(path))
    .map((path) => relative(ROOT, path))
}
