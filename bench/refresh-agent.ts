// The agent without its rate limit, which would dominate the measurement. Loaded by bench/refresh.ts.
import pg from 'pg'
import { RATE_LIMITS } from '../src/refreshing/rate-limit.ts'
import { serve } from '../src/server.ts'

const { query } = pg.Client.prototype
let statements = 0
pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
  statements++
  return Reflect.apply(query, this, args)
} as typeof query
process.on('SIGUSR2', () => console.error(`statements: ${statements}`))

await serve(process.env, { ...RATE_LIMITS, perSecond: 10_000, burst: 10_000 })
