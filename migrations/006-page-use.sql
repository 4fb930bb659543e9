-- expand

-- When the owner allowed web pages to have this account's token although it can do more than read. The word is for the
-- scopes that the token then has: a write of other scopes takes it back.
alter table accounts add column page_use_confirmed_at timestamptz;

-- The pages of an account that has a token today keep it. The release before goes on serving every token to its pages; an
-- account that it connects with more scopes waits for the owner's word after the next upgrade.
update accounts set page_use_confirmed_at = created_at where removed_at is null and access_token is not null;
