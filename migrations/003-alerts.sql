-- expand

alter table accounts add column failing_since timestamptz; -- the first failure of the present run of them
-- What the operator has been told since all was well last, separated by spaces; null = nothing.
alter table accounts add column alert_told text;
alter table accounts add column alert_told_at timestamptz;
-- When there may be something to tell: the earliest moment at which the row alone would give reason to.
alter table accounts add column alert_at timestamptz;
alter table accounts add column alert_lease_until timestamptz; -- somebody is telling it; until then nobody else does

-- The release before does not write these: its rows are looked at when their next attempt has come.
update accounts set failing_since = next_refresh_at where failure_count > 0;
update accounts set alert_at = next_refresh_at where removed_at is null;

create index accounts_alert_at on accounts (alert_at);
-- Providers are swept apart: the many due accounts of one must not be read through to find the few of another.
create index accounts_provider_next_refresh_at on accounts (provider, next_refresh_at);
-- What /metrics shows first. Few rows, so it costs the healthy ones nothing.
create index accounts_failing on accounts (expires_at) where failure_count > 0;
-- For the events that are old enough to go.
create index events_at on events (at);
