import ts from 'typescript'
import { INSTAFEED, javascript, read } from './world.ts'

/** The files beside the snippets' pages. */
export const SCRIPTS = {
  '/instafeed.min.js': INSTAFEED,
  '/react.js': javascript(read('../../node_modules/react/umd/react.production.min.js')),
  '/react-dom.js': javascript(read('../../node_modules/react-dom/umd/react-dom.production.min.js')),
}

/** The component, compiled as React's build tools do. */
export function builtReact(component: string): string {
  const { outputText } = ts.transpileModule(component, {
    compilerOptions: { jsx: ts.JsxEmit.ReactJSX, module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 },
  })
  const runtime = read('../../node_modules/react/cjs/react-jsx-runtime.production.min.js')
  return `
    const modules = { react: React }
    const define = (name, body) => { body(modules[name] = {}, (other) => modules[other]) }
    define('react/jsx-runtime', (exports, require) => { ${runtime} })
    define('feed', (exports, require) => { ${outputText} })
    ReactDOM.createRoot(document.getElementById('root')).render(React.createElement(modules.feed.InstagramFeed))`
}

/** The page that shows it. */
export function reactPage(component: string): string {
  return `<div id="root"></div><script src="react.js"></script><script src="react-dom.js"></script><script>${builtReact(component)}</script>`
}
