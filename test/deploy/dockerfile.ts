export interface Instruction {
  readonly verb: string
  readonly rest: string
}

/** The stages of a Dockerfile by name, without their FROM; the unnamed last one is ''. */
export function readStages(text: string): Map<string, Instruction[]> {
  const stages = new Map<string, Instruction[]>()
  let current: Instruction[] = []
  const lines = text.replace(/\\\n\s*/g, '').split('\n')
  for (const line of lines.filter((line) => line.trim() !== '' && !line.startsWith('#'))) {
    const [, verb = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
    if (verb === 'FROM') {
      current = []
      stages.set(/ AS (\S+)$/.exec(rest)?.[1] ?? '', current)
    } else current.push({ verb, rest })
  }
  return stages
}

export function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}
