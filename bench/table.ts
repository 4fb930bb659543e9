export type Floor = { readonly atLeast: number } | { readonly atMost: number }

export interface Row {
  readonly what: string
  readonly ours: number
  readonly theirs: number
  readonly unit: string
  readonly ratio: number
  /** Null = for information. */
  readonly floor: Floor | null
  readonly note?: string
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return ((sorted[middle] ?? Number.NaN) + (sorted[sorted.length - 1 - middle] ?? Number.NaN)) / 2
}

/** Prints the rows; true if each keeps its floor. */
export function print(rows: readonly Row[]): boolean {
  const line = (cells: readonly string[]): string => cells.map((cell, at) => (at === 0 ? cell.padEnd(48) : cell.padStart(14))).join('')
  console.log(line(['', 'agent', 'bare', 'ratio', 'wanted', '']))
  const kept = rows.map((row) => {
    const { what, ours, theirs, unit, ratio, floor, note = '' } = row
    const isKept = floor === null || ('atLeast' in floor ? ratio >= floor.atLeast : ratio <= floor.atMost)
    const wanted = floor === null ? '' : 'atLeast' in floor ? `≥ ${floor.atLeast}` : `≤ ${floor.atMost}`
    const verdict = floor === null ? '' : isKept ? 'kept' : 'MISSED'
    const number = (value: number): string => `${value.toFixed(unit === '/s' || unit === 'ms' ? 0 : 1)} ${unit}`
    console.log(`${line([what, number(ours), number(theirs), ratio.toFixed(2), wanted, verdict])}  ${note}`)
    return isKept
  })
  return kept.every(Boolean)
}
