import type { RequestListener } from 'node:http'
import { createSnippets } from '../../src/http/pages/snippets.ts'

export interface Shop {
  readonly accounts: readonly string[]
  readonly agentUrl: string
  readonly viewsFolder: string
}

/** A web site with the element of the agent's home page, once for each account. */
export function shopOf({ accounts, agentUrl, viewsFolder }: Shop): RequestListener {
  const snippets = createSnippets(viewsFolder)
  const feeds = accounts.map((account) => {
    const { widget } = snippets({ appUrl: agentUrl, account, constantName: '', profile: `<a href="#">${account}</a>` })
    return `<h2>${account}</h2>\n${widget}`
  })
  return (request, response) => {
    if (request.url !== '/') return void response.writeHead(404).end()
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>The shop</title><h1>The shop</h1>
${feeds.join('\n')}`)
  }
}
