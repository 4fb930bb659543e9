import { entriesOf } from '../reading/allow-list.ts'
import type { Config } from './config.ts'

/** The configuration without its secrets, for the pages. */
export function pageSettings(config: Config) {
  const { appUrl, appUrlIsGuess, platform, command, constantNames, hideHelpPages, warnings, refreshFrequency, refreshMode } = config
  return {
    appUrl,
    appUrlIsGuess,
    platform,
    command,
    constantNames,
    hideHelpPages,
    warnings,
    refreshFrequency,
    refreshMode,
    allowedDomains: config.allowedDomains === null ? null : entriesOf(config.allowList).join(' '),
    hasWebhookSecret: config.webhookSecret !== null,
    hasServerKeys: config.serverKeys.length > 0,
    store: config.database.kind,
    hasMemcached: config.memcached !== null,
  }
}
