fetch('%token%.json')
  .then((response) => response.json())
  .then(({ token, message }) => {
    // `message` is the reason, in a sentence.
    if (!token) throw new Error(message)
    showFeed(token)
  })
  .catch((error) => console.error('No Instagram feed:', error.message))
