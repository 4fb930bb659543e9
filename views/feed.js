// <token-agent-feed> draws the newest posts. It sets text and attributes through the DOM, as strict pages want it.
const sheet = new CSSStyleSheet()
sheet.replaceSync(`%css%`)

function make(tag, part = '', ...children) {
  const element = document.createElement(tag)
  element.className = element.part = part
  element.append(...children)
  return element
}

const here = (address) => new URL(address, import.meta.url)

async function ask(account, signal) {
  if (account && !/^[\w-]+$/.test(account)) throw Error('No such account')
  for (let tries = 1; ; tries++) {
    const answer = await fetch(here(account ? `/accounts/${account}/media.json` : '/media.json'), { signal })
    // A host that restarts answers with a page of its own.
    const { data, message } = await answer.json().catch(() => ({}))
    if (data) return data
    // The first reader of all may come before the posts.
    if (answer.status !== 503 || tries > 3) throw Error(message ?? answer.status)
    await new Promise((done) => setTimeout(done, 5000))
  }
}

function pictureOf({ alt, color, width, height, sizes }, tile, loading) {
  const picture = make('img', 'picture')
  // From this agent alone.
  const fileOf = ({ url }) => here(new URL(url).pathname)
  picture.style.background = color
  // In a tab that is not open yet a tile has no size.
  const shownWidth = Math.max(tile.width, (tile.height * width) / height) || innerWidth
  const srcset = sizes.map((size) => `${fileOf(size)} ${size.width}w`)
  return Object.assign(picture, { alt, loading, sizes: `${shownWidth}px`, srcset, src: fileOf(sizes[0]) })
}

class Feed extends HTMLElement {
  static observedAttributes = ['account', 'captions', 'columns', 'count', 'only', 'ratio', 'tagged', 'target']
  #root = this.attachShadow({ mode: 'open' })
  #run

  connectedCallback() {
    this.#show()
  }

  attributeChangedCallback() {
    if (this.#run) this.#show()
  }

  disconnectedCallback() {
    this.#run.abort()
    this.#run = null
  }

  async #show() {
    const [account, captions, columns, count, only, ratio, tagged, target] = Feed.observedAttributes.map((name) => this.getAttribute(name))
    this.#run?.abort()
    const { signal } = (this.#run = new AbortController())
    const grid = make('ul', 'grid')
    grid.role = 'list'
    if (columns > 0) grid.style.setProperty('--columns', columns)
    const add = (frame, text = '') => {
      frame.style.aspectRatio = ratio
      grid.append(make('li', 'post', frame, ...(captions == null ? [] : [make('p', 'caption', text)])))
    }
    // The place is kept until the posts are there.
    const most = count > 0 && count < 101 ? count : 12
    for (let at = 0; at < most; at++) add(make('span', 'frame'))
    this.#root.replaceChildren(grid, make('slot', 'wait'))
    try {
      // Fails where the element was moved into another document.
      this.#root.adoptedStyleSheets = [sheet]
      const posts = (await ask(account, signal)).filter(
        ({ media_type, caption }) =>
          media_type.startsWith(only?.toUpperCase() ?? '') &&
          (!tagged || caption?.toLowerCase().match(/#[\p{L}\p{M}\d_]+/gu)?.includes(`#${tagged.replace('#', '').toLowerCase()}`)),
      ).slice(0, most)
      const tile = grid.firstChild.firstChild.getBoundingClientRect()
      grid.replaceChildren()
      posts.forEach(({ media_type, permalink, caption, picture }, at) => {
        const shown = picture ? pictureOf(picture, tile, at < (columns ?? 4) ? 'eager' : 'lazy') : make('span', 'caption', caption ?? permalink)
        const frame = make('a', media_type === 'VIDEO' ? 'frame video' : 'frame', shown)
        if (/^https:\/\/(www\.)?(instagram\.com|threads\.(com|net))\//.test(permalink))
          Object.assign(frame, { href: permalink, rel: 'noopener', target: target ?? '_blank' })
        add(frame, caption)
      })
      this.#end(posts.length ? grid : make('slot'), 'feed-ready', posts.length)
    } catch ({ message }) {
      if (signal.aborted) return
      console.error('The feed is not shown:', message)
      this.#end(make('slot'), 'feed-error', message)
    }
  }

  #end(shown, event, detail) {
    this.#root.replaceChildren(shown)
    this.dispatchEvent(new CustomEvent(event, { bubbles: true, detail }))
  }
}

customElements.get('token-agent-feed') ?? customElements.define('token-agent-feed', Feed)
