/** What to add to a redirect URI that Meta does not accept; empty where it does. */
export const needsHttps =
  (title: string) =>
  (redirect: string): string =>
    redirect.startsWith('https:')
      ? ''
      : ` ${title} accepts addresses with <code>https://</code> only: give this agent one, and put it into the variable <code>APP_URL</code>. Or connect from a terminal, with the agent’s command <code>auth ${title.toLowerCase()}</code>.`
