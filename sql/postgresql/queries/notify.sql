-- Tell those who listen that the store has changed, once this transaction is committed.
-- Takes: sender, who tells it.
SELECT PG_NOTIFY('rxsql', :sender);
