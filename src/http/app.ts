import ajvCompiler from '@fastify/ajv-compiler'
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifySchemaCompiler,
  type FastifySerializerCompiler,
  LogController,
} from 'fastify'
import { accountRoutes } from './account-routes.ts'
import { callbackRoutes } from './callback-routes.ts'
import { connectRoutes } from './connect-routes.ts'
import type { HttpDeps } from './deps.ts'
import { answerClientError, handleErrors, refuseAddress } from './errors.ts'
import { operationsRoutes } from './operations-routes.ts'
import { ownerScope } from './owner-scope.ts'
import { pageRoutes } from './page-routes.ts'
import { pictureRoutes } from './picture-routes.ts'
import { logRequests } from './request-log.ts'
import { signInRoutes } from './sign-in-routes.ts'
import { tokenRoutes } from './token-routes.ts'

export interface AppOptions {
  readonly logger: FastifyBaseLogger
  readonly trustProxy: boolean | string[]
}

/** The web server, not listening yet. */
export async function createApp(deps: HttpDeps, { logger, trustProxy }: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    // Given a logger, Fastify listens for the end of each response and makes a child logger for each request: together a
    // sixth of a read. Lines name their request themselves, and logRequests listens where something is logged.
    logger: false,
    childLoggerFactory: () => logger,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy,
    frameworkErrors: refuseAddress,
    clientErrorHandler: answerClientError,
    bodyLimit: 16 * 1024,
    // Fastify's default is 0: a client that never finishes its request would hold its socket for good.
    requestTimeout: 10_000,
    keepAliveTimeout: 75_000,
    forceCloseConnections: 'idle',
    // A connection that was taken before the close may bring its first request after it: it gets its answer.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 100 },
    http: { maxHeaderSize: 8 * 1024, headersTimeout: 8_000, connectionsCheckingInterval: 2_000 },
  })
  compileSchemasLazily(app)
  handleErrors(app)
  await app.register(tokenRoutes, { deps })
  await app.register(async (logged) => {
    logRequests(logged)
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

/**
 * Fastify's own validators and serializers, each made by the first request that needs it. Made at the start they take
 * about as long as a bare Fastify does to start, and who asks for a token needs none of them.
 */
function compileSchemasLazily(app: FastifyInstance): void {
  let validators: FastifySchemaCompiler<unknown> | undefined
  let serializers: FastifySerializerCompiler<unknown> | undefined
  app.setValidatorCompiler((route) => {
    let validate: ReturnType<FastifySchemaCompiler<unknown>> | undefined
    return (data: unknown) => {
      validators ??= ajvCompiler()({}, { customOptions: {} }) as unknown as FastifySchemaCompiler<unknown>
      validate ??= validators(route)
      return validate(data) || { error: validate.errors ?? [] }
    }
  })
  app.setSerializerCompiler((route) => {
    let serialize: ReturnType<FastifySerializerCompiler<unknown>> | undefined
    return (data: unknown) => {
      serializers ??= SerializerSelector()({}, {}) as FastifySerializerCompiler<unknown>
      serialize ??= serializers(route)
      return serialize(data)
    }
  })
}
