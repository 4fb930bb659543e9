// Progressive enhancement: every page works without this script.
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
    // Before `pre` moves: its name is the heading above it.
    const name = nameOf(pre)
    const box = document.createElement('div')
    box.className = 'copyable'
    pre.replaceWith(box)
    // A scrolling element must be reachable with the keyboard.
    pre.tabIndex = 0
    box.append(pre, copyButton(pre, name))
  }
  for (const value of root.querySelectorAll('.value')) {
    const code = value.querySelector('code')
    if (code && !value.querySelector('button')) value.append(copyButton(code, code.textContent))
  }
  for (const form of root.querySelectorAll('form[data-retries]')) retrying(form)
}

// Retries a sign-in by script, so that the typed password stays only in its field.
function retrying(form) {
  const button = form.querySelector('button')
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (button.disabled) return
    button.disabled = true
    button.textContent = 'Waiting…'
    for (;;) {
      const answer = await send(form)
      if (answer?.redirected) return location.assign(answer.url)
      const fresh = answer && new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('main')
      if (fresh && answer.status !== 429 && answer.status !== 503) {
        swap(form.closest('main'), fresh)
        return document.querySelector('[data-retries] input:not([hidden])')?.focus()
      }
      const seconds = Number(answer?.headers.get('retry-after')) || 5
      note(form, `${fresh?.querySelector('[role=status]')?.textContent ?? 'The agent does not answer at the moment.'} This page tries again by itself; keep it open.`)
      // Random, so that browsers that lost the same draw do not come back at the same moment.
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000 + Math.random() * 200))
    }
  })
}

async function send(form) {
  try {
    return await fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)), signal: AbortSignal.timeout(10_000) })
  } catch {
    return null
  }
}

function note(form, text) {
  let said = form.parentElement.querySelector(':scope > [role=status]')
  if (!said) {
    form.parentElement.querySelector(':scope > [role=alert]')?.remove()
    said = document.createElement('p')
    said.className = 'note'
    said.setAttribute('role', 'status')
    form.before(said)
  }
  if (said.textContent !== text) said.textContent = text
}

function nameOf(pre) {
  if (pre.dataset.name) return pre.dataset.name
  for (let one = pre.previousElementSibling; one; one = one.previousElementSibling) {
    if (one.matches('h2, h3, summary')) return one.textContent.trim()
  }
  return 'the code'
}

// A phone has no Ctrl key.
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
    // Browsers allow the clipboard only over TLS.
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
  async function refresh() {
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
  setInterval(refresh, every)
  document.addEventListener('visibilitychange', () => setTimeout(refresh, 300))
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
