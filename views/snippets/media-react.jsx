'use client'

import { useEffect, useState } from 'react'

const GRID = {
  display: 'grid', gap: 4, margin: 0, padding: 0, listStyle: 'none',
  gridTemplateColumns: 'repeat(auto-fill, minmax(max(100px, 24%), 1fr))',
}
const TILE = { display: 'block', width: '100%', aspectRatio: 1, objectFit: 'cover' }

export function InstagramFeed() {
  const [posts, setPosts] = useState([])

  useEffect(() => {
    const leaving = new AbortController()
    const load = async () => {
      const answer = await fetch('%place%/media.json', { signal: leaving.signal })
      const { data, message } = await answer.json()
      if (!answer.ok) throw new Error(message)
      // A post whose picture the provider does not give has none.
      setPosts(data.filter(({ picture }) => picture).slice(0, 12))
    }
    load().catch((error) => leaving.signal.aborted || console.error('The posts are not shown:', error.message))
    return () => leaving.abort()
  }, [])

  return (
    <ul style={GRID}>
      {posts.map(({ id, permalink, picture: { alt, sizes } }) => (
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
