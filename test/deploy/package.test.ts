import { mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { filesUnder } from '../support/files-under.ts'
import { startInstagram } from '../support/instagram.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { cleanClone, NPM, platform, ROOT, shell, startDyno } from './rehearsal.ts'

t.setTimeout(600_000)

t.test('the package holds built files, migrations and pages alone, and runs where it is installed', async (t) => {
  const app = await cleanClone(t)
  symlinkSync(join(ROOT, 'node_modules'), join(app, 'node_modules'))
  const machine = platform(t)
  const said = await shell('npm pack --json 2>/dev/null', app, machine)
  const [{ filename, files }] = JSON.parse(said.slice(said.indexOf('[\n'))) as [{ filename: string; files: { path: string }[] }]
  const paths = files.map(({ path }) => path)
  const others = paths.filter(
    (path) =>
      !/^(?:bin\/token-agent\.js|dist\/.+\.js|migrations\/\d{3}-[\w-]+\.sql|views\/.+|package\.json|README\.md|LICENSE)$/.test(path),
  )
  t.same(others, [])
  const packed = (folder: string) => paths.filter((path) => path.startsWith(`${folder}/`)).length
  t.equal(packed('migrations'), filesUnder(join(app, 'migrations'), '.sql').length)
  t.equal(packed('views'), filesUnder(join(app, 'views'), '').filter((path) => statSync(path).isFile()).length)
  t.equal(packed('dist'), filesUnder(join(app, 'src'), '.ts').length)

  const instagram = await startInstagram()
  t.teardown(() => instagram.close())
  const tarball = join(app, filename)
  const home = tempFolder(t, 'home')
  const [local, prefix, elsewhere] = ['local', 'prefix', 'elsewhere'].map((name) => join(home, name)) as [string, string, string]
  for (const folder of [local, prefix, elsewhere]) mkdirSync(folder)
  await shell(`npm install ${NPM} ${tarball}`, local, machine)
  await shell(`npm install --global --prefix ${prefix} ${NPM} ${tarball}`, elsewhere, machine)
  t.notOk(readdirSync(join(local, 'node_modules')).includes('typescript'))
  const settings = platform(t, { INSTAGRAM_GRAPH_URL: instagram.url })
  for (const [folder, command] of [
    [local, 'npx --no -- token-agent'],
    [elsewhere, join(prefix, 'bin/token-agent')],
  ] as const) {
    t.match(await shell(`${command} --version`, folder, settings), /^\d+\.\d+\.\d+\n$/)
    t.match(await shell(`echo ${instagram.issue({ username: 'the.shop' })} | ${command} seed`, folder, settings), /token is stored/)
    t.match(await shell(`${command} status`, folder, settings), /^working {2}default {2}instagram {2}@the\.shop/)
  }
  const dyno = await startDyno(t, 'npx --no -- token-agent serve', { cwd: local, env: { ...settings.env, HOST: '127.0.0.1' } })
  t.match(await (await fetch(`${dyno.url}/setup`)).text(), /<h1/)
  // npx passes no signal on; platforms send it to each process.
  t.ok((await dyno.stop('all')).tookMs < 30_000, 'it ends by itself')
})
