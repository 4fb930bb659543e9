import type { Mistake, ProviderEnvironment, ProviderModule } from '../../core/provider.ts'
import { type GraphApp, readApp } from '../graph/app.ts'
import { graphMistakes } from '../graph/mistakes.ts'

export interface InstagramConfig {
  readonly graphUrl: string
  readonly apiUrl: string
  readonly webUrl: string
  /** The *Instagram* app's id and secret, not the Meta app's; null = accounts cannot be connected in the browser. */
  readonly app: GraphApp | null
  readonly scopes: readonly string[]
}

const GENERATE = 'generate one in the Meta App Dashboard under “API setup with Instagram login”: it begins with IGAA'

const MISTAKES: readonly Mistake[] = [
  [/^TH[A-Z]{2}[\w-]{20,}/, `is one of Threads (TH…), which Instagram does not take; ${GENERATE}`],
  ...graphMistakes('Instagram', GENERATE),
]

export const instagram: ProviderModule<InstagramConfig> = {
  name: 'instagram',
  title: 'Instagram',
  variables: {
    INSTAGRAM_APP_ID: 'text',
    INSTAGRAM_APP_SECRET: 'secret',
    INSTAGRAM_SCOPES: 'list',
    INSTAGRAM_GRAPH_URL: 'text',
    INSTAGRAM_API_URL: 'text',
    INSTAGRAM_WEB_URL: 'text',
  },
  seed: { variable: 'STARTING_TOKEN', account: 'default', kind: 'access', title: 'long-lived access token' },
  constantName: 'InstagramToken',
  mistakes: MISTAKES,
  read,
  load: async () => {
    const { createInstagram, createInstagramConnect } = await import('./instagram.ts')
    return ({ app, ...config }, { fetch }) => {
      const connect = app === null ? {} : { connect: createInstagramConnect({ ...config, app, fetch }) }
      return createInstagram({ graphUrl: config.graphUrl, fetch, ...connect })
    }
  },
}

function read(env: ProviderEnvironment): InstagramConfig {
  return {
    graphUrl: env.origin('INSTAGRAM_GRAPH_URL', 'https://graph.instagram.com'),
    apiUrl: env.origin('INSTAGRAM_API_URL', 'https://api.instagram.com'),
    webUrl: env.origin('INSTAGRAM_WEB_URL', 'https://www.instagram.com'),
    ...readApp(env, {
      title: 'Instagram',
      prefix: 'INSTAGRAM',
      permission: 'instagram_business_basic',
      place: 'under “API setup with Instagram login”',
    }),
  }
}
