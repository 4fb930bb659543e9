import t from 'tap'
import { drawLetter, initialOf } from '../../../src/http/admin/avatar.ts'

t.test('the first letter is the first grapheme', async (t) => {
  for (const [name, letter] of [
    ['shop', 'S'],
    ['élan', 'É'],
    ['e\u0301lan', 'E\u0301'],
    ['👩🏽‍🎨 art', '👩🏽‍🎨'],
    ['متجر', 'م'],
    [' ', '?'],
    ['\u0007bell', '?'],
    ['\ud800half', '?'],
    ['\uffff', '?'],
  ] as const)
    t.equal(initialOf(name), letter, JSON.stringify(name))
})

t.test('each account has its colour, and a name adds only one escaped letter', async (t) => {
  t.equal(drawLetter('shop', 'Moss'), drawLetter('shop', 'moss and clay'))
  t.not(drawLetter('shop', 'a'), drawLetter('blog', 'a'))
  for (const called of ['<script>', '&lt;', '>', '"\'']) {
    const inside = /central">(.*)<\/text><\/svg>$/.exec(drawLetter('shop', called))?.[1] ?? ''
    t.match(inside, /^(&#\d+;|")$/, called)
  }
})
