-- expand

-- One row about the store itself.
create table installation (
  id integer primary key check (id = 1),
  -- What /token.js serves. Null with `default_since` set: its account was removed, and no other takes its place by itself.
  -- Both null: nobody has decided yet, so it is the account named `default`. A newer accounts.default_since, which the
  -- release before writes alone, wins over both.
  default_account text,
  default_since timestamptz,
  cache_id text, -- random; names this store in a shared cache. Filled by the first start after this migration
  home text, -- a hash of where the store lives; another one at a start means that it is a copy
  signed_out_at timestamptz -- the owner signed out everywhere: what browsers were remembered by before is worth nothing
);

insert into installation (id, default_account, default_since)
  select 1, (select name from accounts where default_since is not null and removed_at is null order by default_since desc limit 1),
    (select max(default_since) from accounts where removed_at is null);

-- Goes up with each write that changes what a reader may be given, and never down; `version` counts tokens alone.
alter table accounts add column revision integer not null default 0;
-- The owner's word for a token that no provider has confirmed yet: it is served unless it is refused.
alter table accounts add column trusted_at timestamptz;
alter table accounts add column connected_at timestamptz; -- the last grant, seed or paste that was accepted; null = created_at
-- The daily look, which asks the provider whether the token still works.
alter table accounts add column checked_at timestamptz; -- the last look that the provider answered well
alter table accounts add column next_check_at timestamptz; -- null = not planned yet
-- An answer to a refresh that is believed only when it is given again ten minutes later.
alter table accounts add column doubted text;
alter table accounts add column doubted_at timestamptz;

-- Whoever is served today is served after the upgrade.
update accounts set trusted_at = created_at
  where removed_at is null and access_token is not null and provider_user_id is null
    and (state = 'active' or (state = 'unverified' and failure_count > 0));

-- The release before never tried a token again whose user had taken the permission back; from now on once a day.
update accounts set next_refresh_at = coalesce(refused_at, created_at)
  where state = 'reconnect' and access_token is not null and next_refresh_at is null and removed_at is null;

alter table oauth_states add column used_at timestamptz; -- emptied then; the row is kept for ten minutes

-- Calls of a provider that were answered: the same body gets the same answer, and has no second effect.
create table signed_requests (
  digest text primary key,
  answer text not null,
  at timestamptz -- null = the call does not say how old it is, so the answer is kept for good
);

create index accounts_default_since on accounts (default_since) where default_since is not null;
create index accounts_next_check_at on accounts (provider, next_check_at);
create index accounts_provider_user_id on accounts (provider, provider_user_id);
create index accounts_provider_app_user_id on accounts (provider, provider_app_user_id);
create index signed_requests_at on signed_requests (at);

-- For the owner's search and pages. A removed account keeps its row.
create index accounts_present on accounts (name) where removed_at is null;
create index accounts_by_name on accounts (name text_pattern_ops) where removed_at is null; -- postgres alone
create index accounts_by_username on accounts (lower(username) text_pattern_ops) where removed_at is null; -- postgres alone
create index accounts_by_username on accounts (lower(username)) where removed_at is null; -- sqlite alone
