async function showInstagram() {
  try {
    const response = await fetch('%token%.json')
    const { token, message } = await response.json()
    // `message` is the reason, in a sentence.
    if (!response.ok) throw new Error(message)
    showFeed(token)
  } catch (error) {
    console.error('No Instagram feed:', error.message)
  }
}

showInstagram()
