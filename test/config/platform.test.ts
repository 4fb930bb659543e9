import t from 'tap'
import { readDatabase } from '../../src/config/platform.ts'

const LAYER = '700 650 0:55 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c'
const PROC = '701 700 0:58 / /proc rw,nosuid - proc proc rw'
const DISK = '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw'
const volumeAt = (path: string): string => `720 700 8:1 /volumes/one ${path} rw,relatime - ext4 /dev/sda1 rw`

t.test('a store in the layer of a container is warned about, one on a volume is not', async (t) => {
  const cases: [url: string | null, mounts: string[], isWarned: boolean][] = [
    ['sqlite:/app/data/agent.db', [LAYER, PROC], true],
    ['sqlite:/app/data/agent.db', [LAYER, volumeAt('/app/database'), volumeAt('/app/data/other')], true],
    [null, [LAYER, PROC], true],
    ['sqlite:/app/data/agent.db', [LAYER, volumeAt('/app/data')], false],
    ['sqlite:/app/data/deep/agent.db', [LAYER, volumeAt('/app')], false],
    ['sqlite:/app/data/agent.db', [DISK, PROC], false],
    ['sqlite:/app/data/agent.db', [LAYER, DISK], false],
    ['sqlite:/app/data/agent.db', [], false],
    ['postgres://db.example/agent', [LAYER], false],
  ]
  for (const [url, mounts, isWarned] of cases) {
    const [warnings, problems]: [string[], string[]] = [[], []]
    readDatabase({}, url, { problems, warn: (text) => void warnings.push(text) }, mounts.join('\n'))
    t.strictSame([warnings.length, problems], [isWarned ? 1 : 0, []], `${url} ${mounts.join(' ')}`)
    if (isWarned) t.match(warnings[0], /is lost with it; mount a volume at \//)
  }
})
