-- expand

-- One row for each place that alerts were ever sent to.
create table alert_channels (
  channel text not null, -- webhook or email
  target text not null, -- a digest of where it leads
  last_ok_at timestamptz,
  last_failed_at timestamptz,
  last_error text, -- a sentence without secrets; null = the last message arrived
  lease_until timestamptz, -- an instance sends the first message
  primary key (channel, target)
);

-- What a channel has had about an account, where another channel has had more. A channel without a row has had the same
-- as the account's row says.
create table alert_backlog (
  account text not null,
  channel text not null,
  told text, -- as accounts.alert_told
  told_at timestamptz,
  retry_at timestamptz not null,
  primary key (account, channel)
);

create index alert_backlog_retry_at on alert_backlog (retry_at);

-- Conditions that 1.0.0 does not know. It would take one in alert_told for an incident that is over, say “works again”
-- and forget it.
alter table accounts add column alert_told_also text;
alter table accounts add column alert_told_also_at timestamptz; -- an alert_told_at after it is of 1.0.0
