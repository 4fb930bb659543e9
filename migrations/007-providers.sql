-- expand

-- When the provider stops giving tokens unless the user approves the app again. Only a person moves this date.
alter table accounts add column reconnect_by timestamptz;

-- 1 where the provider says that the access token has no end. Without it a missing expires_at means that the end is unknown.
alter table accounts add column never_expires integer not null default 0;

-- When a change of the scopes ended the owner's word of 006 and web pages lost the token; null = the owner has decided since.
alter table accounts add column page_use_ended_at timestamptz;

-- The owner has read on /status which tokens stay in pages by 006; null = not yet.
alter table installation add column page_use_read_at timestamptz;

-- When a start found that this store is a copy of another one; null = it never was.
alter table installation add column copied_at timestamptz;

-- How PKCE challenges are written since one spelling was refused; null = each provider's usual way.
alter table installation add column pkce_challenge text;
