/** A place that alerts can go to, and the way to its address for a person who does not program. */
export interface AlertWay {
  readonly id: string
  readonly kind: 'webhook' | 'email'
  readonly title: string
  /** Null = anybody can use it. */
  readonly needs: string | null
  readonly steps: readonly string[]
  /** The variables to set, each with a value of the right form. */
  readonly examples: readonly { readonly name: string; readonly value: string }[]
}

const webhook = (value: string): AlertWay['examples'] => [{ name: 'ALERT_WEBHOOK_URL', value }]

export const ALERT_WAYS: readonly AlertWay[] = [
  {
    // https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    id: 'slack',
    kind: 'webhook',
    title: 'Slack',
    needs: null,
    steps: [
      'Open api.slack.com/apps, press “Create New App”, then “From scratch”. Give it a name and choose your workspace.',
      'Choose “Incoming Webhooks” and switch them on.',
      'Press “Add New Webhook”, choose the channel and press “Allow”.',
      'Copy the “Webhook URL”.',
    ],
    examples: webhook('https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX'),
  },
  {
    // https://support.discord.com/hc/en-us/articles/228383668-Intro-to-Webhooks
    id: 'discord',
    kind: 'webhook',
    title: 'Discord',
    needs: null,
    steps: [
      'Point at the channel and press the gear, “Edit Channel”.',
      'Choose “Integrations”, then “Webhooks”, and press “New Webhook”.',
      'Press the new webhook, then “Copy Webhook URL”.',
    ],
    examples: webhook('https://discord.com/api/webhooks/000000000000000000/XXXXXXXXXXXXXXXXXXXX'),
  },
  {
    // https://developers.google.com/workspace/chat/quickstart/webhooks
    id: 'google-chat',
    kind: 'webhook',
    title: 'Google Chat',
    needs: 'It needs Google Workspace; a free Google account has no webhooks.',
    steps: [
      'Open the space in a browser on a computer, and press its name at the top.',
      'Choose “Apps & integrations”, then “Add webhooks”. Give it a name and press “Save”.',
      'Copy the address: press the three dots beside the webhook, then “Copy link”.',
    ],
    examples: webhook('https://chat.googleapis.com/v1/spaces/AAAAAAAAAAA/messages?key=XXXXXXXX&token=XXXXXXXX'),
  },
  {
    // https://support.microsoft.com/en-us/office/create-incoming-webhooks-with-workflows-for-microsoft-teams-8ae491c7-0394-4861-ba59-055e33f75498
    id: 'teams',
    kind: 'webhook',
    title: 'Microsoft Teams',
    needs: 'It needs Teams for work or school.',
    steps: [
      'Press the three dots beside the channel’s name, then “Workflows”.',
      'Choose “Send webhook alerts to a channel”, and press “Next” or “Save” until the workflow is made.',
      'Copy the address that is shown at the end.',
    ],
    examples: webhook('https://prod-00.westeurope.logic.azure.com:443/workflows/XXXXXXXX/triggers/manual/paths/invoke?sig=XXXXXXXX'),
  },
  {
    id: 'email',
    kind: 'email',
    title: 'E-mail',
    needs: null,
    steps: [
      'Look up “SMTP” or “outgoing mail” in the help of your mail provider. It names a server and a port, mostly 587.',
      'If you sign in to your mail with a second step, make an app password. Gmail has them at myaccount.google.com/apppasswords.',
      'Write user, password, server and port in one line, as in the example. In user and password write @ as %40, and leave out blanks.',
      'Name the address that gets the alerts in the second variable. Up to five are separated by commas.',
    ],
    examples: [
      { name: 'SMTP_URL', value: 'smtp://you%40gmail.com:abcdefghijklmnop@smtp.gmail.com:587' },
      { name: 'ALERT_EMAIL_TO', value: 'you@gmail.com' },
    ],
  },
]
