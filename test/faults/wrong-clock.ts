// node --import: shifts this process's clock by CLOCK_SHIFT_MS from its start, or from the signal that CLOCK_STEPS_ON names.
const RealDate = Date
const { CLOCK_SHIFT_MS, CLOCK_STEPS_ON } = process.env
let shiftMs = CLOCK_STEPS_ON === undefined ? Number(CLOCK_SHIFT_MS) : 0
if (CLOCK_STEPS_ON !== undefined)
  process.on(CLOCK_STEPS_ON, () => {
    shiftMs = Number(CLOCK_SHIFT_MS)
  })

globalThis.Date = new Proxy(RealDate, {
  construct: (_, given: []) => (given.length === 0 ? new RealDate(RealDate.now() + shiftMs) : new RealDate(...given)),
  get: (date, name) => (name === 'now' ? () => RealDate.now() + shiftMs : Reflect.get(date, name)),
})
