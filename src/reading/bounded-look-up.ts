import { AppError } from '../core/errors.ts'

const AT_ONCE = 2
const MAX_WAITING = 100

/**
 * Limits look-ups of names that a stranger may have made up: two run, a hundred wait, further ones throw `busy`. Reads of
 * known accounts and the owner's pages do not wait behind them.
 */
export function createBoundedLookUps(): <T>(lookUp: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0

  return async (lookUp) => {
    if (running >= AT_ONCE) {
      if (waiting.length >= MAX_WAITING) throw new AppError('busy', BUSY)
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running++
    try {
      return await lookUp()
    } finally {
      // The next one inherits the place.
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}

const BUSY = 'Too many unknown names are being looked up at this moment. Try again in a few seconds.'
