// node --import: shifts this process's clock by CLOCK_SHIFT_MS from its start.
const RealDate = Date
const shiftMs = Number(process.env['CLOCK_SHIFT_MS'])

globalThis.Date = new Proxy(RealDate, {
  construct: (_, given: []) => (given.length === 0 ? new RealDate(RealDate.now() + shiftMs) : new RealDate(...given)),
  get: (date, name) => (name === 'now' ? () => RealDate.now() + shiftMs : Reflect.get(date, name)),
})
