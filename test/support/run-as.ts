import { readFileSync } from 'node:fs'

export interface Account {
  uid: number
  gid: number
}

/** PostgreSQL and Memcached refuse to run as root: root runs them as the named system user, or as the user nobody. */
export function accountFor(user: string): Account {
  const uid = process.getuid?.() ?? 0
  const gid = process.getgid?.() ?? 0
  if (uid !== 0) return { uid, gid }
  const users = new Map(
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => [line.split(':')[0], line.split(':')]),
  )
  const fields = users.get(user) ?? users.get('nobody')
  return { uid: Number(fields?.[2] ?? 65534), gid: Number(fields?.[3] ?? 65534) }
}
