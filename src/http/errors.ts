import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError, type ErrorCode } from '../core/errors.ts'
import { isStorable } from '../core/storable.ts'
import type { TokenResource } from '../reading/decide-read.ts'

export const CONTENT_TYPES: Record<TokenResource, string> = {
  script: 'text/javascript; charset=utf-8',
  json: 'application/json; charset=utf-8',
  text: 'text/plain; charset=utf-8',
}

export const STATUS: Record<ErrorCode, number> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  gone: 410,
  conflict: 409,
  busy: 503,
  unavailable: 503,
}

// Fastify's own messages repeat header values, paths and parser positions; these do not.
export const FASTIFY_SENTENCES: Record<number, string> = {
  400: 'The request could not be understood.',
  405: 'This method is not supported here.',
  408: 'The request took too long to arrive.',
  413: 'The request is too large.',
  414: 'The address is too long.',
  415: 'This kind of content is not accepted here.',
  429: 'Too many requests; wait a moment and try again.',
  431: 'The headers or the address are too large.',
}

/** Replaces Fastify's error answers, which repeat the URL and the error's message. The 404 is in page-routes.ts. */
export function handleErrors(app: FastifyInstance, log: FastifyBaseLogger): void {
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => answerError(error, request, reply, log))
}

export function answerError(error: FastifyError | AppError, request: FastifyRequest, reply: FastifyReply, log: FastifyBaseLogger): void {
  sendError(reply, explain(error, request, log))
}

interface Explained {
  readonly status: number
  readonly code: string
  readonly message: string
}

/** Also the 404 of a malformed, oddly written or too long address, which Fastify's own answer would repeat. */
export const NOTHING_HERE: Explained = { status: 404, code: 'not_found', message: 'There is nothing at this address.' }

/** The part of an error that the caller may know. Logs unexpected errors in full. */
export function explain(error: FastifyError | AppError, request: FastifyRequest, log: FastifyBaseLogger): Explained {
  if (error instanceof AppError) return { status: STATUS[error.code], code: error.code, message: error.message }
  const status = error.statusCode ?? 500
  if (status < 500) return { status, code: 'invalid', message: FASTIFY_SENTENCES[status] ?? 'The request was refused.' }
  log.error({ err: error, reqId: request.id, route: request.routeOptions.url }, 'a request failed')
  return { status: 500, code: 'internal', message: 'Something went wrong here; the agent’s log has the details.' }
}

/** Refuses text that Postgres cannot store, in any field of any route. */
export function refuseUnstorable(scope: FastifyInstance): void {
  scope.addHook('preValidation', (request, _reply, done) => {
    const fields = [request.params, request.query, request.body].flatMap((part) => Object.values(part ?? {}).flat())
    const isRefused = fields.some((value) => typeof value === 'string' && !isStorable(value))
    done(isRefused ? new AppError('invalid', 'The request has a character that no text can have (U+0000, or half of a pair).') : undefined)
  })
}

/** True for a browser's navigation; `fetch` and curl accept any type. */
export function wantsPage({ method, headers }: FastifyRequest): boolean {
  return (method === 'GET' || method === 'HEAD') && /\btext\/html\b/.test(headers.accept ?? '')
}

// The phrases stand here because an import of node:http evaluates its exports, which loads Node's whole fetch.
const WIRE_STATUS: Record<string, readonly [status: number, phrase: string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large'],
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
}

/** Answers bytes that Node could not parse as a request. Repeats nothing of them. */
export function answerClientError({ code }: { code?: string }, socket: Socket): void {
  if (socket.writable && code !== 'ECONNRESET') {
    const [status, phrase] = WIRE_STATUS[code ?? ''] ?? [400, 'Bad Request']
    const body = JSON.stringify({ error: 'invalid', message: FASTIFY_SENTENCES[status] })
    const head = [
      `HTTP/1.1 ${status} ${phrase}`,
      'content-type: application/json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      'cache-control: no-store',
      'connection: close',
    ]
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  }
  socket.destroy()
}

/** In the form of the route that was asked. */
export function sendError(reply: FastifyReply, error: Explained): void {
  const { headers, body } = errorAnswer(reply.request.routeOptions.config.resource, error)
  for (let at = 0; at < headers.length; at += 2) reply.header(headers[at] as string, headers[at + 1])
  reply.code(error.status).send(body)
}

/** JSON, or for a script a comment, which browsers do not run. `headers` alternates names and values. */
export function errorAnswer(
  resource: TokenResource | undefined,
  { status, code, message }: Explained,
): { readonly headers: readonly string[]; readonly body: string } {
  const headers = ['content-type', CONTENT_TYPES[resource ?? 'json'], 'cache-control', 'no-store']
  if (status === 503) headers.push('retry-after', '5')
  if (status === 401) headers.push('www-authenticate', 'Bearer')
  if (resource === 'script') return { headers, body: `// ${message.replace(/\s+/g, ' ')}\n` }
  return { headers, body: resource === 'text' ? `${message}\n` : JSON.stringify({ error: code, message }) }
}
