// app/instagram-feed.jsx, a server component: the key stays on the server, and the page needs no script for the posts.
const GRID = {
  display: 'grid', gap: 4, margin: 0, padding: 0, listStyle: 'none',
  gridTemplateColumns: 'repeat(auto-fill, minmax(max(100px, 24%), 1fr))',
}
const TILE = { display: 'block', width: '100%', aspectRatio: 1, objectFit: 'cover' }

export async function InstagramFeed() {
  const headers = { authorization: `Bearer ${process.env.TOKEN_AGENT_KEY}` }
  const answer = await fetch('%place%/media.json', { headers, next: { revalidate: 1800 } })
  const { data, message } = await answer.json()
  if (!answer.ok) throw new Error(message)
  return (
    <ul style={GRID}>
      {data.filter(({ picture }) => picture).slice(0, 12).map(({ id, permalink, picture: { alt, sizes } }) => (
        <li key={id}>
          <a href={permalink}>
            <img alt={alt} loading="lazy" style={TILE} sizes="(max-width: 480px) 33vw, 25vw"
              srcSet={sizes.map(({ url, width }) => `${url} ${width}w`).join()} src={sizes[0].url} />
          </a>
        </li>
      ))}
    </ul>
  )
}
