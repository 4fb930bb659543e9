import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { acceptsGzip } from '../accepts-gzip.ts'

const TYPES: Readonly<Record<string, string>> = {
  'style.css': 'text/css; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'logo.svg': 'image/svg+xml; charset=utf-8',
}

interface Asset {
  readonly content: Buffer
  readonly gzipped: Buffer
  readonly version: string
}

const known = new Map<string, Asset>()

/** Read for the first page: an agent that only serves tokens reads no asset. */
function assetOf(folder: string, name: string): Asset {
  const path = join(folder, name)
  let asset = known.get(path)
  if (asset === undefined) {
    const content = readFileSync(path)
    asset = { content, gzipped: gzipSync(content), version: createHash('sha256').update(content).digest('base64url').slice(0, 10) }
    known.set(path, asset)
  }
  return asset
}

/** The file's address with a hash of its content, so that a page never gets another release's file from a cache. */
export function assetUrl(folder: string, name: string): string {
  return `/${name}?v=${assetOf(folder, name).version}`
}

export function assetRoutes(app: FastifyInstance, folder: string): void {
  const serve = (name: string) => (request: FastifyRequest, reply: FastifyReply) => {
    const { content, gzipped, version } = assetOf(folder, name)
    const isThisOne = (request.query as { v?: unknown }).v === version
    reply
      .type(TYPES[name] ?? 'application/octet-stream')
      .header('cache-control', isThisOne ? 'public, max-age=31536000, immutable' : 'public, max-age=3600')
      .header('etag', `"${version}"`)
      .header('vary', 'accept-encoding')
    if (request.headers['if-none-match'] === `"${version}"`) return reply.code(304).send()
    return acceptsGzip(request.headers['accept-encoding']) ? reply.header('content-encoding', 'gzip').send(gzipped) : reply.send(content)
  }
  for (const name of Object.keys(TYPES)) app.get(`/${name}`, { config: { quiet: true } }, serve(name))
  // Browsers request this address by themselves. They accept an SVG by its content type.
  app.get('/favicon.ico', { config: { quiet: true } }, serve('logo.svg'))
}
