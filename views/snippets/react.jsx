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
    const ask = async (url) => {
      const response = await fetch(url, { signal: leaving.signal })
      const answer = await response.json()
      if (!response.ok) throw new Error(answer.message ?? answer.error?.message)
      return answer
    }
    const load = async () => {
      const { token } = await ask('%token%.json')
      const fields = 'id,caption,media_type,media_url,thumbnail_url,permalink'
      const { data } = await ask(`https://graph.instagram.com/me/media?fields=${fields}&access_token=${token}`)
      setPosts(data)
    }
    load().catch((error) => leaving.signal.aborted || console.error('No Instagram feed:', error.message))
    return () => leaving.abort()
  }, [])

  return (
    <ul style={GRID}>
      {posts.map(({ id, caption, media_type, media_url, thumbnail_url, permalink }) => {
        // A video has a still picture. Some posts have no picture.
        const src = thumbnail_url || (media_type !== 'VIDEO' && media_url)
        if (!src) return null
        const picture = <img src={src} alt={caption || 'A post on Instagram'} loading="lazy" style={TILE} />
        return <li key={id}>{permalink ? <a href={permalink}>{picture}</a> : picture}</li>
      })}
    </ul>
  )
}
