import type { FastifyInstance } from 'fastify'
import type { AlertChannels } from '../../alerts/channel.ts'

/** The button that tries the channels of alerts. How it went stands on the page that it leads back to. */
export function alertRoutes(scope: FastifyInstance, alerts: Pick<AlertChannels, 'test'>): void {
  scope.post('/admin/alerts/test', async (_request, reply) => {
    const results = await alerts.test()
    const outcome = results.length === 0 ? 'none' : results.every(({ error }) => error === null) ? 'arrived' : 'failed'
    return reply.redirect(`/setup?tested=${outcome}#step-alerts`, 303)
  })
}
