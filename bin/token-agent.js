#!/usr/bin/env node
// Plain JavaScript that any Node understands, so that an old one gets a sentence and not a stack trace.
import { existsSync } from 'node:fs'

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `token-agent needs Node 24 or newer, and this is Node ${process.versions.node}: install a newer one, or run it through npm after a plain “npm ci”.`,
  )
  process.exit(1)
}
// Without a build (npm ci --omit=dev leaves the compiler out) Node runs the TypeScript itself.
const built = new URL('../dist/cli/main.js', import.meta.url)
const { main } = await import(existsSync(built) ? built.href : new URL('../src/cli/main.ts', import.meta.url).href)
await main()
