import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let root: string | undefined

// The sweeper reads a pipe that closes when this process dies in any way; kill -9 runs no teardown. It then ends the
// processes in pids/, each with its own signal first, and removes the folder. Each listed process leads a group;
// PostgreSQL's backends lead groups of their own, so their parents' children are ended too.
const SWEEPER = `
trap '' HUP INT TERM
cat >/dev/null
children() { cat /proc/$1/task/*/children 2>/dev/null; }
listed() { find "$1" -path '*/pids/*' -type f 2>/dev/null; }
signal_all() {
  for file in $(listed "$1"); do
    pid=\${file##*/}
    kill -CONT "$pid" $(children "$pid") 2>/dev/null
    kill -s "\${2:-$(cat "$file")}" -- "-$pid" 2>/dev/null
  done
}
alive() {
  for file in $(listed "$1"); do
    grep -q '^State:.[^Z]' "/proc/\${file##*/}/status" 2>/dev/null && return 0
  done
  return 1
}
signal_all "$1"
turns=0
while alive "$1" && [ $turns -lt 30 ]; do sleep 0.1; turns=$((turns + 1)); done
signal_all "$1" KILL
grep -F " $1/" /proc/mounts 2>/dev/null | while read -r _ place _; do umount -l "$place"; done
# Chromium, which is not listed and ends by itself, may still be writing.
turns=0
until rm -rf "$1" 2>/dev/null || [ $turns -gt 50 ]; do sleep 0.1; turns=$((turns + 1)); done
`

/** The one folder under which this process keeps every temporary file and the ids of what it started. */
export function processRoot(): string {
  if (root !== undefined) return root
  const { TEST_ROOT: runner } = process.env
  // Short names: the path of a Unix socket has at most 107 bytes.
  root = mkdtempSync(runner === undefined ? join(tmpdir(), 'token-agent-test-') : join(runner, 'p-'))
  // Servers that refuse to run as root run as another user, who needs to traverse the folder.
  chmodSync(root, 0o711)
  mkdirSync(join(root, 'pids'))
  const sweeper = spawn('sh', ['-c', SWEEPER, 'sweeper', root], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  sweeper.unref()
  unrefPipe(sweeper.stdin)
  return root
}

/** Makes the sweeper end this group leader if this process dies first; call the result once it has ended by itself. */
export function listProcess(pid: number, endWith: 'KILL' | 'QUIT'): () => void {
  const file = join(processRoot(), 'pids', String(pid))
  writeFileSync(file, endWith)
  return () => rmSync(file, { force: true })
}

/** A child's pipe keeps this process alive. It is a socket, although its type does not say so. */
export function unrefPipe(pipe: object): void {
  if (pipe instanceof Socket) pipe.unref()
}
