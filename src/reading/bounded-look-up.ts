import fastq from 'fastq'
import { AppError } from '../core/errors.ts'

const AT_ONCE = 2
const MAX_WAITING = 100

/**
 * Limits look-ups of names that a stranger may have made up: two run, a hundred wait, further ones throw `busy`. Reads of
 * known accounts and the owner's pages do not wait behind them.
 */
export function createBoundedLookUps(): <T>(lookUp: () => Promise<T>) => Promise<T> {
  const lookUps = fastq.promise((lookUp: () => Promise<unknown>) => lookUp(), AT_ONCE)
  return async <T>(lookUp: () => Promise<T>) => {
    if (lookUps.length() >= MAX_WAITING) throw new AppError('busy', BUSY)
    return lookUps.push(lookUp) as Promise<T>
  }
}

const BUSY = 'Too many unknown names are being looked up at this moment. Try again in a few seconds.'
