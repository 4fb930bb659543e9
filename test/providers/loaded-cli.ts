import { registerHooks } from 'node:module'

// The agent, or with WITH_POSTBOX the one with a made-up provider; says on standard error which files of providers it loads.
registerHooks({
  load(url, context, next) {
    const [, file] = /\/(?:src|test)\/providers\/(.*)$/.exec(url) ?? []
    if (file !== undefined) process.stderr.write(`loaded ${file}\n`)
    return next(url, context)
  },
})
if (process.env['WITH_POSTBOX'] !== undefined) await import('./postbox/cli.ts')
else await (await import('../../src/cli/main.ts')).main()
