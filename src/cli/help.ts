import type { AgentCommand } from '../config/agent-command.ts'
import { COMMANDS, type CommandName, FORMS, type Form, OPTIONS, type Option } from './commands.ts'

const EXIT_CODES = 'Exit codes: 0 success, 1 something failed or an account needs a person, 2 the command was not understood.'

/** The text of --help. `about`: a command or the first word of several; null = all. */
export function help(command: AgentCommand, about: string | null): string {
  const name = COMMANDS.find((one) => one === about)
  const others = about === null ? COMMANDS : COMMANDS.filter((one) => one.startsWith(`${about} `))
  const lines = others.map((one) => `  ${`${one} ${FORMS[one].words}`.padEnd(46)} ${FORMS[one].summary}`)
  if (name !== undefined) return `${helpOn(name, command)}${others.length === 0 ? '' : `\n${lines.join('\n')}\n`}`
  const intro = about === null ? 'token-agent keeps social-media access tokens alive and serves them to your web sites.\n\n' : ''
  return `${intro}Usage: ${command(about === null ? '<command>' : `${about} <command>`)}

${lines.join('\n')}

<command> --help explains one command.${about === null ? ' Settings come from environment variables; the README lists them.' : ''}
${EXIT_CODES}
`
}

function helpOn(name: CommandName, command: AgentCommand): string {
  const { words, summary, details, options = {} }: Form = FORMS[name]
  const known = Object.entries(OPTIONS).flatMap(([option, value]) => {
    const does = options[option as Option]
    return does === undefined ? [] : [`  ${`--${option}${value === null ? '' : ` ${value}`}`.padEnd(22)} ${does}`]
  })
  const parts = [
    `Usage: ${command(`${name} ${words}`.trim())}`,
    `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.${details === undefined ? '' : `\n${details}`}`,
    ...(known.length === 0 ? [] : [known.join('\n')]),
  ]
  return `${parts.join('\n\n')}\n\n${EXIT_CODES}\n`
}
