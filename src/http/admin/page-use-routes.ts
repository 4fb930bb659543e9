import type { FastifyInstance } from 'fastify'
import type { Overview } from '../../accounts/overview.ts'

/** The button below the note on /status about the tokens that pages keep since the upgrade. */
export function pageUseRoutes(scope: FastifyInstance, { overview }: { readonly overview: Pick<Overview, 'endPageUseNote'> }): void {
  scope.post('/admin/page-use-note', async (_request, reply) => {
    await overview.endPageUseNote()
    return reply.redirect('/status', 303)
  })
}
