import { createRequire } from 'node:module'
import type Ajv from '@fastify/ajv-compiler'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyServerOptions, LogController } from 'fastify'
import type { LinkDeps } from '../accounts/connect-link.ts'
import type { DeauthorizeDeps } from '../accounts/deauthorize.ts'
import type { FeedDeps } from '../accounts/feed-settings.ts'
import type { Overview } from '../accounts/overview.ts'
import type { Pictures } from '../accounts/pictures.ts'
import type { ViewDeps } from '../accounts/view.ts'
import type { AlertChannels } from '../alerts/channel.ts'
import type { ReadMeter } from '../reading/read-meter.ts'
import type { SignIn } from '../sign-in/sign-in.ts'
import type { Status } from '../status/status.ts'
import type { Idling } from './admin/account-page.ts'
import { accountRoutes } from './admin/account-routes.ts'
import { alertRoutes } from './admin/alert-routes.ts'
import { connectRoutes } from './admin/connect-routes.ts'
import { historyRoutes } from './admin/history-routes.ts'
import { inviteRoutes } from './admin/invite-routes.ts'
import { ownerScope } from './admin/owner-scope.ts'
import { pageUseRoutes } from './admin/page-use-routes.ts'
import { pictureRoutes } from './admin/picture-routes.ts'
import { signInRoutes } from './admin/sign-in-routes.ts'
import { callbackRoutes } from './api/callback-routes.ts'
import { type Hook, type Metering, operationsRoutes } from './api/operations-routes.ts'
import { answerClientError, handleErrors, NOTHING_HERE, refuseUnstorable, sendError } from './errors.ts'
import { embedRoutes } from './feed/embed-routes.ts'
import type { FeedAccess } from './feed/feed-parts.ts'
import { mediaRoutes } from './feed/media-routes.ts'
import type { FeedRouteParts } from './feed/read-feed.ts'
import { pageRoutes } from './pages/page-routes.ts'
import type { SetupParts } from './pages/setup-page.ts'
import { logRequests } from './request-log.ts'
import type { Site } from './site.ts'
import { createTurnServer } from './socket-turns.ts'
import { type TokenReading, tokenRoutes } from './token/token-routes.ts'

const SERVER_OPTIONS = {
  // Fastify's default is no limit: a client that never finishes its request would keep its socket.
  requestTimeout: 10_000,
  headersTimeout: 8_000,
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 8 * 1024,
}

/** The parts of the agent that routes use; each route takes only those that it needs. */
export interface AppParts {
  readonly site: Site
  readonly reading: TokenReading & SetupParts['reading'] & FeedRouteParts['reading']
  readonly feeds: FeedAccess
  readonly meter: ReadMeter | null
  readonly metering: Metering | null
  readonly hook: Hook
  readonly status: Status
  readonly alerts: Pick<AlertChannels, 'test'>
  readonly signIn: SignIn
  readonly owner: ViewDeps &
    FeedDeps &
    Idling &
    LinkDeps &
    SetupParts['owner'] &
    DeauthorizeDeps & { readonly pictures: Pictures; readonly overview: Pick<Overview, 'endPageUseNote'> }
}

/** Creates the web server; it does not listen yet. */
export async function createApp(parts: AppParts, log: FastifyBaseLogger, trustProxy: boolean | string[]): Promise<FastifyInstance> {
  const { site, reading, feeds, meter, metering, hook, status, alerts, signIn, owner } = parts
  const { settings } = site
  const { appUrl } = settings
  const app = Fastify({
    // A Fastify logger costs a sixth of a read: a child logger and a response listener for each request. Log lines name
    // their request themselves, and logRequests listens only on routes that are logged.
    logger: false,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy,
    schemaController: { compilersFactory: LAZY_COMPILERS },
    frameworkErrors: (_error, _request, reply) => sendError(reply as FastifyReply, NOTHING_HERE),
    clientErrorHandler: answerClientError,
    bodyLimit: 16 * 1024,
    forceCloseConnections: 'idle',
    // A connection accepted before close() may send its first request afterwards; it is answered.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 100 },
    serverFactory: (answer) => createTurnServer(SERVER_OPTIONS, answer),
  })
  handleErrors(app, log)
  await app.register(tokenRoutes, { reading, meter, appUrl, log })
  await app.register(mediaRoutes, { reading, feeds, appUrl, log })
  await app.register(embedRoutes, { reading, feeds, appUrl, log, viewsFolder: site.viewsFolder })
  await app.register(async (logged) => {
    logRequests(logged, log)
    refuseUnstorable(logged)
    // The router ignores a host or fragment in the request target; a cache in front may read another address. Token routes
    // have their own, stricter check.
    logged.addHook('onRequest', (request, reply, done) => {
      if (/^\/(?!\/)[^#]*$/.test(request.raw.url ?? '')) done()
      else sendError(reply, NOTHING_HERE)
    })
    await logged.register(operationsRoutes, { health: status.health, metering, hook, site, log })
    await logged.register(pageRoutes, { owner, status, reading, signIn, site, log })
    await logged.register(async (owners) => {
      const pages = await ownerScope(owners, { signIn, site, log })
      signInRoutes(owners, { signIn, site, log, pages })
      accountRoutes(owners, { owner, status, reading, site, pages })
      historyRoutes(owners, owner.store, pages)
      alertRoutes(owners, alerts)
      pageUseRoutes(owners, owner)
      pictureRoutes(owners, owner)
      const answerByLink = inviteRoutes(owners, { owner, site, log, pages })
      connectRoutes(owners, { owner, site, log, pages, answerByLink })
    })
    await logged.register(callbackRoutes, { owner, site })
  })
  return app
}

const require = createRequire(import.meta.url)

type ValidateFunction = ((data: unknown) => boolean) & { errors?: unknown }
type CompilerFactory = (schemas: unknown, options: unknown) => (route: object) => ValidateFunction

/**
 * Loads Fastify's schema compiler at the first request that needs it, and compiles each route's validator separately. At
 * the start this would take longer than Fastify itself, and a read of a token needs no schema.
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
  // No route has a response schema. Without this entry Fastify would load its own serializer compiler.
  buildSerializer: () => () => JSON.stringify,
} as unknown as NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>

function createCompiler(): CompilerFactory {
  const { AjvCompiler }: typeof Ajv = require('@fastify/ajv-compiler')
  return AjvCompiler() as unknown as CompilerFactory
}
