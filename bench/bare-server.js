// The measure of things: a Fastify server that does nothing but give the answers it was told. Plain JavaScript, as the
// agent's build is, so that neither side spends its start on stripping types; no logger, which is Fastify's default.
import Fastify from 'fastify'

const { PORT, ANSWERS } = process.env
const app = Fastify()
for (const { path, status, headers, body } of JSON.parse(ANSWERS)) {
  app.get(path, (_request, reply) => {
    reply.code(status).headers(headers).send(body)
  })
}
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
