import type { Mistake, ProviderEnvironment, ProviderModule } from '../../core/provider.ts'
import { type GraphApp, readApp } from '../graph/app.ts'
import { graphMistakes } from '../graph/mistakes.ts'

export interface ThreadsConfig {
  readonly graphUrl: string
  readonly webUrl: string
  /** The *Threads* app's id and secret, not the Meta app's; null = accounts cannot be connected in the browser. */
  readonly app: GraphApp | null
  readonly scopes: readonly string[]
}

const GENERATE = 'generate one in the Meta App Dashboard, use case “Access the Threads API”, “User Token Generator”: it begins with TH'

const MISTAKES: readonly Mistake[] = [
  [/^IG[A-Z]{2}[\w-]{20,}/, `is one of Instagram (IG…), which Threads does not take; ${GENERATE}`],
  ...graphMistakes('Threads', GENERATE),
]

export const threads: ProviderModule<ThreadsConfig> = {
  name: 'threads',
  title: 'Threads',
  variables: {
    THREADS_APP_ID: 'text',
    THREADS_APP_SECRET: 'secret',
    THREADS_SCOPES: 'list',
    THREADS_GRAPH_URL: 'text',
    THREADS_WEB_URL: 'text',
  },
  seed: { variable: 'THREADS_STARTING_TOKEN', account: 'threads', kind: 'access', title: 'long-lived access token' },
  constantName: 'ThreadsToken',
  mistakes: MISTAKES,
  read,
  load: async () => {
    const { createThreads, createThreadsConnect } = await import('./threads.ts')
    return ({ app, ...config }, { fetch }) => {
      const connect = app === null ? {} : { connect: createThreadsConnect({ ...config, apiUrl: config.graphUrl, app, fetch }) }
      return createThreads({ graphUrl: config.graphUrl, fetch, ...connect })
    }
  },
}

function read(env: ProviderEnvironment): ThreadsConfig {
  return {
    // The older host, graph.threads.net, answers too.
    graphUrl: env.origin('THREADS_GRAPH_URL', 'https://graph.threads.com'),
    webUrl: env.origin('THREADS_WEB_URL', 'https://threads.com'),
    ...readApp(env, {
      title: 'Threads',
      prefix: 'THREADS',
      permission: 'threads_basic',
      place: 'in the use case “Access the Threads API”, “Settings”; the Meta app’s leads to error 4476002',
    }),
  }
}
