const PRINTED = '[secret]'

/** A value that no log line, template, error or JSON shows by accident: only `reveal()` gives it out. */
export class Secret {
  readonly #value: string
  constructor(value: string) {
    this.#value = value
  }
  reveal(): string {
    return this.#value
  }
  toString(): string {
    return PRINTED
  }
  toJSON(): string {
    return PRINTED
  }
  // The well-known symbol that console.log and util.inspect ask, without an import of node:util.
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return PRINTED
  }
}
