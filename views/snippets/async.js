async function showInstagram() {
  try {
    const response = await fetch('%token%.json')
    const { token, message } = await response.json()
    // The agent says in a sentence what is wrong.
    if (!response.ok) throw new Error(message)
    showFeed(token)
  } catch (error) {
    console.error('No Instagram feed:', error.message)
  }
}

showInstagram()
