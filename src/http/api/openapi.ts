import { readFileSync } from 'node:fs'
import Fastify, { type FastifySchema } from 'fastify'
import type { HttpDeps } from '../deps.ts'
import { tokenRoutes } from '../token/token-routes.ts'
import { operationsRoutes } from './operations-routes.ts'

/** What a route's schema says for its description alone: nothing of it is looked at while a request is answered. */
export interface ApiNotes {
  readonly id: string
  readonly summary: string
  /** Of what it answers, refusals too, unless they are JSON. */
  readonly type?: string
  readonly jsonRefusals?: boolean
  readonly refusals: readonly number[]
  readonly query?: Readonly<Record<string, string>>
  readonly key?: { readonly name: string; readonly optional?: boolean }
}

declare module 'fastify' {
  interface FastifySchema {
    api?: ApiNotes
  }
}

const REFUSALS: Readonly<Record<number, string>> = {
  304: 'The client has it already.',
  400: 'The request is wrong; the message says how.',
  401: 'No key, or a wrong one.',
  403: 'Not allowed: the web site is not on the list, or this is switched off.',
  404: 'There is no such account.',
  413: 'The request is too large.',
  503: 'No usable token at the moment, or a part that is needed does not answer.',
}
const TEXT = { type: 'string' }
const Refusal = {
  type: 'object',
  properties: { error: TEXT, message: { ...TEXT, description: 'A sentence for the person who can mend it.' } },
  required: ['error', 'message'],
}
const Account = {
  type: 'object',
  properties: { account: { ...TEXT, pattern: '^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$' } },
  required: ['account'],
}
const KEYS = { serverKey: 'SERVER_KEYS', webhookSecret: 'WEBHOOK_SECRET', metricsKey: 'METRICS_KEY' }

interface Described {
  paths: Record<string, { get?: { parameters?: object[] } }>
}

/** The description of the public addresses, made from their routes' schemas. In OpenAPI 3.1: https://spec.openapis.org/oas/v3.1.1 */
export async function describeApi(deps: HttpDeps): Promise<object> {
  // Loaded for whoever asks, and on a server that never listens, so that the one that does pays nothing for it.
  const { default: swagger } = await import('@fastify/swagger')
  const app = Fastify()
  const asked = new Map<string, ApiNotes['query']>()
  app.setValidatorCompiler(() => () => true).setSerializerCompiler(() => () => '')
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info: {
        title: 'token-agent',
        summary: 'Hands the current access token to the web sites that may have it.',
        version: version(),
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: deps.settings.appUrl }],
      components: {
        securitySchemes: Object.fromEntries(
          Object.entries(KEYS).map(([name, variable]) => {
            const scheme = { type: 'http', scheme: 'bearer', description: `The value of ${variable}.` } as const
            return [name, scheme]
          }),
        ),
      },
    },
    transform: ({ schema, url }) => {
      if (schema?.api?.query !== undefined) asked.set(url.replace(':account', '{account}'), schema.api.query)
      return { schema: describe(schema, url), url }
    },
  })
  await app.register(tokenRoutes, { deps })
  await app.register(operationsRoutes, { deps })
  await app.ready()
  const description = app.swagger() as unknown as Described
  // Added here, because the library takes a parameter of the name `const` for the word of JSON Schema.
  for (const [url, query] of asked) {
    const operation = description.paths[url]?.get
    if (operation === undefined) continue
    const parameters = Object.entries(query ?? {}).map(([name, about]) => ({
      name,
      in: 'query',
      description: about,
      schema: { type: 'string' },
    }))
    operation.parameters = [...(operation.parameters ?? []), ...parameters]
  }
  await app.close()
  return description
}

function describe({ api, response }: FastifySchema = {}, url: string): FastifySchema {
  if (api === undefined) return { hide: true }
  const { id, summary, type = 'application/json', jsonRefusals = type === 'application/json', refusals, key } = api
  const answer = (description: string, as: string, schema: unknown) => ({ description, content: { [as]: { schema } } })
  const answers = Object.entries(response as Record<string, unknown>)
  const refused = refusals.map((status) => [
    status,
    status === 304
      ? { description: REFUSALS[status], type: 'null' }
      : answer(REFUSALS[status] ?? '', jsonRefusals ? 'application/json' : type, jsonRefusals ? Refusal : TEXT),
  ])
  return {
    operationId: id,
    summary,
    response: Object.fromEntries([
      ...refused,
      ...answers.map(([status, schema]) => [
        status,
        answer(status === '200' ? `${summary}.` : (REFUSALS[Number(status)] ?? ''), type, schema),
      ]),
    ]),
    ...(url.includes(':account') ? { params: Account } : {}),
    ...(key === undefined ? {} : { security: [...(key.optional ? [{}] : []), { [key.name]: [] }] }),
  }
}

function version(): string {
  return JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')).version
}
