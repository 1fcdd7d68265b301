-- Remove rxsql from a PostgreSQL database: schema rx with every job, result and console line in it, and the
-- roles. There is no way back. End the workers first. Roles that another database of the server uses stay.

DROP SCHEMA IF EXISTS rx CASCADE;

DO $$
DECLARE
    role_name TEXT;
BEGIN
    FOR role_name IN
        SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN (
            'rx_reader', 'rx_client', 'rx_worker', 'rx_publisher', 'rx_caller', 'rx_scripter'
        )
    LOOP
        BEGIN
            EXECUTE 'DROP ROLE ' || QUOTE_IDENT(role_name);
        EXCEPTION
            WHEN dependent_objects_still_exist THEN
                RAISE NOTICE USING MESSAGE =
                    'The role ' || role_name || ' stays: another database of this server uses it.';
            WHEN insufficient_privilege THEN
                RAISE WARNING USING MESSAGE =
                    'The role ' || role_name || ' stays: ' || CURRENT_USER || ' may not drop it.';
        END;
    END LOOP;
END
$$;
