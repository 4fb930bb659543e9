import type { ProviderModule } from '../core/provider.ts'

/** Registered in each app of Meta, which compares the whole address. */
const PORTS = [3764, 3765, 3766, 3767, 3768, 3769] as const

/** The redirect URIs of `auth` on this computer, as they are registered at the provider. */
export function loopbackRedirects({ loopback }: Pick<ProviderModule, 'loopback'>): string[] {
  return loopback === 'http' ? ['http://127.0.0.1:*/callback/'] : PORTS.map((port) => `https://localhost:${port}/`)
}
