import { createRequire } from 'node:module'
import type Ajv from '@fastify/ajv-compiler'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyServerOptions, LogController } from 'fastify'
import { accountRoutes } from './admin/account-routes.ts'
import { connectRoutes } from './admin/connect-routes.ts'
import { ownerScope } from './admin/owner-scope.ts'
import { pictureRoutes } from './admin/picture-routes.ts'
import { signInRoutes } from './admin/sign-in-routes.ts'
import { callbackRoutes } from './api/callback-routes.ts'
import { operationsRoutes } from './api/operations-routes.ts'
import type { HttpDeps } from './deps.ts'
import { answerClientError, handleErrors, refuseAddress, refuseUnstorable } from './errors.ts'
import { pageRoutes } from './pages/page-routes.ts'
import { logRequests } from './request-log.ts'
import { createTurnServer } from './socket-turns.ts'
import { tokenRoutes } from './token/token-routes.ts'

const SERVER_OPTIONS = {
  // Fastify's default is 0: a client that never finishes its request would hold its socket for good.
  requestTimeout: 10_000,
  headersTimeout: 8_000,
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 8 * 1024,
}

/** The web server, not listening yet. */
export async function createApp(deps: HttpDeps, trustProxy: boolean | string[]): Promise<FastifyInstance> {
  const app = Fastify({
    // Given a logger, Fastify listens for the end of each response and makes a child logger for each request: together a
    // sixth of a read. Lines name their request themselves, and logRequests listens where something is logged.
    logger: false,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy,
    schemaController: { compilersFactory: LAZY_COMPILERS },
    frameworkErrors: (_error, _request, reply) => refuseAddress(reply as FastifyReply),
    clientErrorHandler: answerClientError,
    bodyLimit: 16 * 1024,
    forceCloseConnections: 'idle',
    // A connection that was taken before the close may bring its first request after it: it gets its answer.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 100 },
    serverFactory: (answer) => createTurnServer(SERVER_OPTIONS, answer),
  })
  handleErrors(app, deps.log)
  await app.register(tokenRoutes, { deps })
  await app.register(async (logged) => {
    logRequests(logged, deps.log)
    refuseUnstorable(logged)
    // The router reads these as the address alone; a cache in front may read another one. Reads look closer themselves.
    logged.addHook('onRequest', (request, reply, done) => {
      if (/^\/(?!\/)[^#]*$/.test(request.raw.url ?? '')) done()
      else refuseAddress(reply)
    })
    await logged.register(operationsRoutes, { deps })
    await logged.register(pageRoutes, { deps })
    await logged.register(async (owners) => {
      const pages = await ownerScope(owners, deps)
      signInRoutes(owners, deps, pages)
      accountRoutes(owners, deps, pages)
      pictureRoutes(owners, deps)
      connectRoutes(owners, deps, pages)
    })
    await logged.register(callbackRoutes, { deps })
  })
  return app
}

const require = createRequire(import.meta.url)

type ValidateFunction = ((data: unknown) => boolean) & { errors?: unknown }
type CompilerFactory = (schemas: unknown, options: unknown) => (route: object) => ValidateFunction

/**
 * Fastify's own compiler of schemas, loaded by the first request that needs one, which makes its route's validator alone.
 * At the start all this takes longer than a bare Fastify does, and a read of a token needs none of it.
 */
const LAZY_COMPILERS = {
  buildValidator: (schemas: unknown, options: unknown) => {
    let compile: ReturnType<CompilerFactory> | undefined
    return (route: object) => {
      let validate: ValidateFunction | undefined
      return (data: unknown) => {
        compile ??= createCompiler()(schemas, options)
        validate ??= compile(route)
        return validate(data) || { error: validate.errors ?? [] }
      }
    }
  },
  // No route has a schema for its answer. Fastify loads its own compiler of serializers where none is given.
  buildSerializer: () => () => JSON.stringify,
} as unknown as NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>

function createCompiler(): CompilerFactory {
  const { AjvCompiler }: typeof Ajv = require('@fastify/ajv-compiler')
  return AjvCompiler() as unknown as CompilerFactory
}
