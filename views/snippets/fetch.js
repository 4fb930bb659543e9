fetch('%token%.json')
  .then((response) => response.json())
  .then(({ token, message }) => {
    // The agent says in a sentence what is wrong.
    if (!token) throw new Error(message)
    showFeed(token)
  })
  .catch((error) => console.error('No Instagram feed:', error.message))
