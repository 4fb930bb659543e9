import ajvCompiler from '@fastify/ajv-compiler'
import type { FastifySchemaCompiler } from 'fastify'

/**
 * Fastify's own validators, each made by the first request that needs it. Ajv and the forms of the owner's side take
 * about as long as a bare Fastify to start, and who asks for a token needs none of them.
 */
export function lazyValidators(): FastifySchemaCompiler<unknown> {
  let compile: FastifySchemaCompiler<unknown> | undefined
  return (route) => {
    let validate: ReturnType<FastifySchemaCompiler<unknown>> | undefined
    return (data: unknown) => {
      compile ??= ajvCompiler()({}, { customOptions: {} }) as unknown as FastifySchemaCompiler<unknown>
      validate ??= compile(route)
      return validate(data) || { error: validate.errors ?? [] }
    }
  }
}
