fetch('%token%.json')
  .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`No token: ${response.status}`))))
  .then(({ token }) => showFeed(token))
  .catch((error) => console.error('No Instagram feed:', error.message))
