-- expand
-- The rule behind the first line, and what both engines understand: README.md in this folder.

-- One row per connected account. The name is public: it stands in /accounts/<name>/token.js.
create table accounts (
  name text primary key check (length(name) between 1 and 40),
  provider text not null,
  provider_user_id text, -- null until the provider has confirmed a token once
  username text,
  access_token text, -- sealed, as refresh_token is
  refresh_token text,
  scopes text,
  allowed_domains text, -- null = the global list
  state text not null check (state in ('unverified', 'active', 'reconnect')),
  issued_at timestamptz,
  expires_at timestamptz, -- null = not known yet
  refresh_expires_at timestamptz,
  last_refresh_at timestamptz,
  version integer not null default 1 check (version > 0), -- goes up with each new token, never down
  next_refresh_at timestamptz, -- null = only when somebody asks for it
  -- Who may call the provider for this account now, and until when nobody else may.
  lease_owner text,
  lease_until timestamptz,
  -- The call under way. Where it is still set after the lease, its process died without saying how it ended.
  attempt_id text,
  attempt_started_at timestamptz,
  interrupted_at timestamptz, -- when the attempt before this one began, if it never ended
  committed_attempt_id text, -- the last one that ended: whoever lost the answer may ask again
  failure_count integer not null default 0 check (failure_count >= 0), -- since the last success
  refused_at timestamptz, -- the first refusal of the present run of them
  last_error_code text,
  last_error text, -- a sentence for the owner, without secrets
  seed_fingerprint text, -- tells whether STARTING_TOKEN is the one already taken
  created_at timestamptz not null,
  check ((lease_owner is null) = (lease_until is null)),
  check ((attempt_id is null) = (attempt_started_at is null))
);

create index accounts_next_refresh_at on accounts (next_refresh_at);

-- One row for each thing that happened, never changed. It outlives its account; null = it concerns none.
create table events (
  id text primary key, -- sorts by age within the same instant
  account text,
  kind text not null,
  actor text not null, -- why it began: timer, owner, …
  outcome text not null check (outcome in ('ok', 'failed')),
  detail text, -- safe to show
  at timestamptz not null
);

create index events_account_at on events (account, at);
