-- expand

-- A link by which a client connects one account without the owner's password. One row for each account.
create table connect_links (
  id text primary key, -- a hash of the secret in its address
  account text not null unique,
  provider text not null,
  for_user text, -- accounts.provider_user_id of then; another user of the account ends the link
  note text, -- the owner's words to the client
  expected_username text, -- the user whose grant needs no yes of the owner; null = each new user's needs it
  created_at timestamptz not null,
  expires_at timestamptz not null, -- a grant that waits begins its own week
  revoked_at timestamptz,
  used_at timestamptz, -- its grant was saved, or waits
  used_by text, -- the authorization request that brought the grant
  sealed text, -- the grant that waits for the owner's yes; null = none does
  user_id text, -- whose grant waits, in the clear, so that the user's deletion call finds it
  app_user_id text,
  username text,
  alerted_at timestamptz, -- the owner heard of the grant that waits
  alert_lease_until timestamptz
);

create index connect_links_user_id on connect_links (provider, user_id);
create index connect_links_app_user_id on connect_links (provider, app_user_id);
