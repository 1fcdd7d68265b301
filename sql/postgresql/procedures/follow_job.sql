-- One look at a job for rx.follow_job: tell the workers that the caller is there, show new console lines as
-- notices, and say where the job stands.
CREATE OR REPLACE FUNCTION rx.look_at_job(
    job_id TEXT, INOUT after BIGINT, OUT status TEXT
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = rx, pg_temp
AS $$
DECLARE
    found rx.jobs := rx.own_job(job_id); -- first the status, then the lines: those of an ended job are all there
    entry RECORD;
BEGIN
    status := found.status;
    IF status IN ('queued', 'running') THEN
        INSERT INTO rx.waiters (job_key) VALUES (found.job_key)
        ON CONFLICT (job_key) DO UPDATE SET seen_at = CLOCK_TIMESTAMP();
    END IF;
    FOR entry IN
        SELECT chunks.chunk_key, line.text
        FROM rx.console_chunks AS chunks
        CROSS JOIN JSONB_ARRAY_ELEMENTS_TEXT(chunks.lines::JSONB) WITH ORDINALITY AS line (text, place)
        WHERE chunks.job_key = found.job_key AND chunks.chunk_key > after
        ORDER BY chunks.chunk_key, line.place
    LOOP
        after := entry.chunk_key;
        RAISE NOTICE '%', entry.text;
    END LOOP;
END
$$;

-- Stay with a job until it has ended: show what it prints as notices, and every ten seconds that it goes on.
-- Who goes away meanwhile has it canceled. It commits, so it cannot be called in a transaction.
CREATE OR REPLACE PROCEDURE rx.follow_job(job_id TEXT)
LANGUAGE plpgsql
AS $$
DECLARE
    after BIGINT := 0;
    seen BIGINT := 0;
    status TEXT;
    told TIMESTAMPTZ := CLOCK_TIMESTAMP();
    pause DOUBLE PRECISION := 0.01;
BEGIN
    LOOP
        SELECT looked.after, looked.status INTO after, status FROM rx.look_at_job(job_id, seen) AS looked;
        COMMIT; -- so that the workers see it
        EXIT WHEN status NOT IN ('queued', 'running');
        -- A server notices that its client has gone only where it sends something.
        IF after > seen THEN
            told := CLOCK_TIMESTAMP();
        ELSIF CLOCK_TIMESTAMP() > told + INTERVAL '10 seconds' THEN
            RAISE NOTICE 'The job "%" is %.', job_id, status;
            told := CLOCK_TIMESTAMP();
        END IF;
        seen := after;
        PERFORM PG_SLEEP(pause);
        pause := LEAST(0.5, pause * 1.5);
    END LOOP;
END
$$;
