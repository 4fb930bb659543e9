import { createRequire } from 'node:module'
import type * as Tldts from 'tldts'
import type * as Trie from 'tldts/dist/types/src/data/trie.js'

// Loaded at the first wildcard: few lists have one, and loading takes as long as opening a store, and a megabyte.
const require = createRequire(import.meta.url)

/** Whether anyone can get a name below `host`: it is a public suffix, or has one below it, as amazonaws.com has s3.amazonaws.com. */
export function isPublicSuffix(host: string): boolean {
  const { getPublicSuffix }: typeof Tldts = require('tldts')
  return getPublicSuffix(host, { allowPrivateDomains: true }) === host || hasSuffixBelow(host)
}

let tree = null as ReturnType<typeof loadTree> | null

function hasSuffixBelow(host: string): boolean {
  tree ??= loadTree()
  const { root, edgesOf, labelOf, below } = tree
  let node: number = root
  for (const label of host.split('.').reverse()) {
    const edges = edgesOf(node)
    const next = edges.find((edge) => labelOf(edge) === label) ?? edges.find((edge) => labelOf(edge) === '*')
    if (next === undefined) return false
    node = below(next)
  }
  // Every node with children has a suffix below it.
  return edgesOf(node).length > 0
}

// tldts answers for one name and cannot list the suffixes below it, so this reads its internal label tree. The version is
// pinned, and a test asks for names that only the tree knows.
function loadTree() {
  const trie: typeof Trie = require('tldts/dist/cjs/src/data/trie.js')
  const { edgeChild, edgeLength, edgeStart, labelText } = trie
  const ends = new Uint32Array(edgeLength.length)
  edgeLength.reduce((end, length, edge) => {
    ends[edge] = end + length
    return end + length
  }, 0)
  return {
    root: trie.rulesRoot,
    edgesOf: (node: number): number[] => {
      const start = edgeStart[node] ?? 0
      return Array.from({ length: (edgeStart[node + 1] ?? start) - start }, (_, at) => start + at)
    },
    labelOf: (edge: number): string => labelText.slice((ends[edge] ?? 0) - (edgeLength[edge] ?? 0), ends[edge]),
    below: (edge: number): number => edgeChild[edge] ?? 0,
  }
}
