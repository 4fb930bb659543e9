import ajvCompiler from '@fastify/ajv-compiler'
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler'
import type { FastifyInstance, FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify'

/**
 * Fastify's own validators and serializers, each made by the first request that needs it. Made at the start they take
 * about as long as a bare Fastify does to start, and who asks for a token needs none of them.
 */
export function compileSchemasLazily(app: FastifyInstance): void {
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
