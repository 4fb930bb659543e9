-- expand

-- When the provider stops giving tokens unless the user approves the app again. Only a person moves this date.
alter table accounts add column reconnect_by timestamptz;

-- 1 where the provider says that the access token has no end. Without it a missing expires_at means that the end is unknown.
alter table accounts add column never_expires integer not null default 0;
