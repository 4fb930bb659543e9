import t from 'tap'
import { agentCommand, type Surroundings } from '../../src/config/agent-command.ts'

const AROUND: Surroundings = {
  pid: 4711,
  hostname: '3f2a9c01b7de',
  user: 'token-agent',
  node: '/opt/token-agent/node_modules/.bin/node',
  folder: '/opt/token-agent',
  exists: (path) => path === '/etc/token-agent.env',
}
const UNIT = { SYSTEMD_EXEC_PID: '4711' }

t.test('the shown command works on each platform', async (t) => {
  const lines: [string, NodeJS.ProcessEnv, Partial<Surroundings>, string][] = [
    ['Heroku', { DYNO: 'web.1' }, {}, 'heroku run -- node bin/token-agent.js seed shop'],
    ['Render', { RENDER: 'true' }, {}, 'node bin/token-agent.js seed shop'],
    ['Railway', { RAILWAY_ENVIRONMENT: 'production' }, {}, 'railway ssh -- node bin/token-agent.js seed shop'],
    [
      'Fly',
      { FLY_APP_NAME: 'shop', AGENT_PLATFORM: 'docker' },
      {},
      'fly ssh console --pty --command "node /app/bin/token-agent.js seed shop"',
    ],
    ['our image', { AGENT_PLATFORM: 'docker' }, {}, 'docker exec --interactive --tty 3f2a9c01b7de node bin/token-agent.js seed shop'],
    [
      'our image with a host name',
      { AGENT_PLATFORM: 'docker' },
      { hostname: 'shop' },
      'docker exec --interactive --tty token-agent node bin/token-agent.js seed shop',
    ],
    [
      'the unit of docs/deploying.md',
      UNIT,
      {},
      'systemd-run --quiet --pipe --wait --property=User=token-agent --property=EnvironmentFile=/etc/token-agent.env --working-directory=/opt/token-agent /opt/token-agent/node_modules/.bin/node bin/token-agent.js seed shop',
    ],
    ['a shell below another unit', UNIT, { pid: 4712 }, 'npx --no -- token-agent seed shop'],
    ['a unit of another make', UNIT, { exists: () => false }, 'npx --no -- token-agent seed shop'],
    ['elsewhere, containers too', {}, {}, 'npx --no -- token-agent seed shop'],
  ]
  for (const [place, env, around, line] of lines) t.equal(agentCommand(env, { ...AROUND, ...around })('seed shop'), line, place)
})
