const PRINTED = '[secret]'

/** A value that no log line, template, error or JSON shows by accident; only `reveal()` returns it. */
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
  // console.log and util.inspect call this symbol.
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return PRINTED
  }
}
