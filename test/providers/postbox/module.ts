import type { ProviderModule } from '../../../src/core/provider.ts'
import type { PostboxConfig } from './postbox.ts'

/** A made-up second provider. It needs only this folder and one line of a registry. */
export const postbox: ProviderModule<PostboxConfig> = {
  name: 'postbox',
  title: 'PostBox',
  variables: { POSTBOX_APP_ID: 'text', POSTBOX_APP_SECRET: 'secret', POSTBOX_SCOPES: 'list', POSTBOX_URL: 'text' },
  seed: { variable: 'POSTBOX_TOKEN', account: 'postbox', kind: 'access', title: 'token' },
  constantName: 'PostboxToken',
  mistakes: [[/^IG/, 'is one of another provider']],
  read({ text, origin, problem }) {
    if (text('POSTBOX_URL') === null) return null
    if (text('POSTBOX_APP_ID') !== null && text('POSTBOX_APP_SECRET') === null) problem('POSTBOX_APP_SECRET: is missing')
    return { url: origin('POSTBOX_URL', ''), appId: text('POSTBOX_APP_ID') }
  },
  load: async () => (await import('./postbox.ts')).createPostbox,
}
