import { readFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { pictureOf } from '../support/instagram-pictures.ts'

export interface Shop {
  readonly accounts: readonly string[]
  readonly agentUrl: string
  readonly graphUrl: string
  readonly snippet: string
}

export function readSnippet(folder: string): string {
  return readFileSync(join(folder, 'feed.html'), 'utf8')
}

/** A web site with the code of the agent's home page, once for each account. */
export function shopOf({ accounts, agentUrl, graphUrl, snippet }: Shop): RequestListener {
  const pageOf = (account: string): string => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${account}</title>
<body>${snippet
    .replaceAll('%token%', `${agentUrl}/accounts/${account}/token`)
    // Instagram's stand-in has no pictures: the shop's server draws them.
    .replaceAll('https://graph.instagram.com', '/graph')}`
  const frames = accounts.map((account) => `<h2>${account}</h2><iframe src="/${account}" width="1010" height="520"></iframe>`).join('\n')
  const home = `<!doctype html><html lang="en"><meta charset="utf-8"><title>The shop</title><h1>The shop</h1>\n${frames}`

  return async (request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://shop')
    const html = (text: string) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(text)
    const account = accounts.find((name) => pathname === `/${name}`)
    if (pathname === '/') return html(home)
    if (account !== undefined) return html(pageOf(account))
    const picture = /^\/pictures\/([\w-]+)\.png$/.exec(pathname)?.[1]
    if (picture !== undefined) return response.writeHead(200, { 'content-type': 'image/png' }).end(pictureOf(picture))
    if (pathname !== '/graph/me/media') return response.writeHead(404).end()
    const answer = await fetch(`${graphUrl}/me/media${search}`)
    const body = (await answer.text()).replaceAll(/https:\/\/scontent\.cdninstagram\.com\/(\w+)\.jpg/g, '/pictures/$1.png')
    return response.writeHead(answer.status, { 'content-type': 'application/json' }).end(body)
  }
}
