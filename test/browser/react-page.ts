import ts from 'typescript'
import { INSTAFEED, javascript, read } from './world.ts'

/** React's own modules, as its build tools put them together; each of them runs when the first other one asks for it. */
const REACT = Object.entries({
  react: 'react/cjs/react.production.js',
  'react/jsx-runtime': 'react/cjs/react-jsx-runtime.production.js',
  scheduler: 'scheduler/cjs/scheduler.production.js',
  'react-dom': 'react-dom/cjs/react-dom.production.js',
  'react-dom/client': 'react-dom/cjs/react-dom-client.production.js',
}).map(([name, path]) => definition(name, read(`../../node_modules/${path}`)))

/** The files beside the snippets' pages. */
export const SCRIPTS = {
  '/instafeed.min.js': INSTAFEED,
  '/react.js': javascript(`
    const bodies = {}, modules = {}
    function load(name) {
      if (modules[name] === undefined) bodies[name](modules[name] = {}, load)
      return modules[name]
    }
    ${REACT.join('\n')}`),
}

function definition(name: string, body: string): string {
  return `bodies['${name}'] = (exports, require) => { ${body} }`
}

/** The component, compiled as React's build tools do. */
export function builtReact(component: string): string {
  const { outputText } = ts.transpileModule(component, {
    compilerOptions: { jsx: ts.JsxEmit.ReactJSX, module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 },
  })
  return `
    ${definition('feed', outputText)}
    load('react-dom/client').createRoot(document.getElementById('root')).render(load('react').createElement(load('feed').InstagramFeed))`
}

/** The page that shows it. */
export function reactPage(component: string): string {
  return `<div id="root"></div><script src="react.js"></script><script>${builtReact(component)}</script>`
}
