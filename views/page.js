// Comfort only: every page works without it.
const zoned = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short' })

function enhance(root) {
  for (const time of root.querySelectorAll('time[datetime]')) {
    time.title = time.textContent
    time.textContent = zoned.format(new Date(time.dateTime))
  }
  for (const title of root.querySelectorAll('title[data-at]')) {
    title.textContent = title.textContent.replace(/^.*? UTC/, zoned.format(new Date(title.dataset.at)))
  }
  for (const pre of root.querySelectorAll('pre:not(.copyable > pre)')) {
    const box = document.createElement('div')
    box.className = 'copyable'
    pre.replaceWith(box)
    // What scrolls must be reachable with the keyboard.
    pre.tabIndex = 0
    box.append(pre, copyButton(pre, nameOf(pre)))
  }
  for (const value of root.querySelectorAll('.value')) {
    const code = value.querySelector('code')
    if (code && !value.querySelector('button')) value.append(copyButton(code, code.textContent))
  }
}

function nameOf(pre) {
  const heading = pre.closest('section, li, details')?.querySelector('h2, h3, summary')
  return heading ? heading.textContent.trim() : 'the code'
}

// A phone has no such keys.
const byHand = matchMedia('(pointer: coarse)').matches ? 'Selected – copy it' : 'Press Ctrl+C'

function copyButton(source, name) {
  const button = document.createElement('button')
  button.type = 'button'
  button.className = 'copy'
  button.textContent = 'Copy'
  button.setAttribute('aria-label', `Copy ${name}`)
  button.addEventListener('click', async () => {
    const done = await copy(source)
    button.textContent = done ? 'Copied' : byHand
    say(done ? `Copied ${name}` : `The text is selected: ${byHand}`)
    setTimeout(() => {
      button.textContent = 'Copy'
    }, 2500)
  })
  return button
}

async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent)
    return true
  } catch {
    // Without TLS browsers keep the clipboard to themselves.
    getSelection().selectAllChildren(source)
    return false
  }
}

let speaker
function say(text) {
  if (!speaker) {
    speaker = document.createElement('p')
    speaker.className = 'vh'
    speaker.setAttribute('role', 'status')
    document.body.append(speaker)
  }
  speaker.textContent = text
}

function refreshing(main) {
  let shown = null
  async function look() {
    if (document.hidden || main.querySelector('input:focus, select:focus') || !getSelection().isCollapsed) return
    const note = main.querySelector('.stale')
    try {
      const response = await fetch(location.href, { headers: { accept: 'text/html' }, signal: AbortSignal.timeout(10_000) })
      if (!response.ok) throw new Error(String(response.status))
      const fresh = new DOMParser().parseFromString(await response.text(), 'text/html').querySelector('main')
      if (!fresh || fresh.innerHTML === shown) return
      shown = fresh.innerHTML
      swap(main, fresh)
    } catch {
      if (note) note.hidden = false
    }
  }
  const every = Number(main.dataset.refresh) * 1000
  setInterval(look, every)
  document.addEventListener('visibilitychange', () => setTimeout(look, 300))
}

function swap(main, fresh) {
  const focused = main.contains(document.activeElement) ? pathOf(main, document.activeElement) : null
  const open = [...main.querySelectorAll('details[open]')].map(({ id }) => id)
  main.replaceChildren(...document.importNode(fresh, true).childNodes)
  for (const details of main.querySelectorAll('details')) details.open = open.includes(details.id)
  enhance(main)
  if (focused) main.querySelector(focused)?.focus({ preventScroll: true })
}

function pathOf(main, element) {
  if (element.id) return `#${CSS.escape(element.id)}`
  const steps = []
  for (let one = element; one !== main; one = one.parentElement) {
    if (one.id) {
      steps.unshift(`#${CSS.escape(one.id)}`)
      break
    }
    steps.unshift(`:nth-child(${[...one.parentElement.children].indexOf(one) + 1})`)
  }
  return steps.join(' > ')
}

enhance(document)
const main = document.querySelector('main[data-refresh]')
if (main) refreshing(main)
