-- expand

alter table accounts add column serves text; -- token, both or feed; null = FEED_MODE decides
alter table accounts add column feed_open integer; -- 1: any web site may read the feed. Null or 0: those of the list

-- One row for each account whose feed was ever asked for. What stands in it is public, so it is not sealed.
create table feeds (
  account text primary key,
  user_id text not null, -- whose posts these are: accounts.provider_user_id of then
  public_word_at timestamptz, -- when the owner said that this user's profile is public
  posts text, -- JSON; null = none were fetched yet, or all were thrown away
  post_count integer not null default 0,
  etag text, -- a digest of posts
  version integer not null default 0, -- goes up with each change of what readers see
  bytes integer not null default 0, -- of its pictures
  changed_at timestamptz, -- when the posts last changed
  fetched_at timestamptz, -- the last good answer
  read_at timestamptz not null, -- to within ten minutes
  next_fetch_at timestamptz not null,
  lease_until timestamptz, -- no other process fetches until then
  attempt_id text, -- the fetch under way
  failures integer not null default 0, -- since the last good answer
  empty_since timestamptz, -- the first of the answers in a row that list no post
  short_fields integer not null default 0, -- 1: the token may not read all fields
  last_error text -- a sentence for the owner, without secrets
);

create index feeds_next_fetch_at on feeds (next_fetch_at);
create index feeds_read_at on feeds (read_at);

-- The pictures of the posts in feeds, each in a few widths.
create table pictures (
  account text not null,
  name text not null, -- 32 hexadecimal digits of the hash of what was downloaded
  width integer not null,
  height integer not null,
  type text not null,
  bytes bytea not null,
  primary key (account, name, width)
);
