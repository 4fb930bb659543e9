-- expand

alter table accounts add column js_constant text; -- null = the global name
alter table accounts add column provider_app_user_id text; -- how the provider names the user to this app alone
alter table accounts add column paused_at timestamptz; -- neither refreshed nor served since then
-- A removed account keeps its row, emptied: its version must go on where the name is taken again, and STARTING_TOKEN
-- must not bring it back.
alter table accounts add column removed_at timestamptz;
-- /token.js serves the account that was made the default last; the one named `default` where none was.
alter table accounts add column default_since timestamptz;

-- One row per browser in which the owner is signed in.
create table sessions (
  id text primary key, -- a hash of what the cookie holds
  credential text not null, -- sealed: another password ends the sessions of the one before
  created_at timestamptz not null,
  last_seen_at timestamptz not null
);

-- One row per trip to a provider that has not come back yet, or that waits for the owner's word. Used once.
create table oauth_states (
  id text primary key, -- a hash of what the address holds
  session_id text not null,
  provider text not null,
  account text not null,
  sealed text not null, -- the PKCE verifier, or what the provider granted
  created_at timestamptz not null
);

-- How often a password was tried, by all instances together: by everybody, or from a browser that signed in before.
create table sign_in_attempts (
  source text primary key,
  failures integer not null,
  last_at timestamptz not null,
  blocked_until timestamptz not null
);
