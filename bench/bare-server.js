// The baseline: a Fastify server that only gives prepared answers. It is plain JavaScript, as the agent's build is, so that
// neither side strips types at its start, and has no logger, which is Fastify's default.
import Fastify from 'fastify'

const { PORT, ANSWERS } = process.env
const app = Fastify()
for (const { path, status, headers, body: text, isBinary } of JSON.parse(ANSWERS)) {
  const body = isBinary ? Buffer.from(text, 'base64') : text
  app.get(path, (_request, reply) => {
    reply.code(status).headers(headers).send(body)
  })
}
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
