-- Let one at a time change the schema, until the end of the transaction.
SELECT PG_ADVISORY_XACT_LOCK(HASHTEXT('rxsql.schema'));
