-- The table cancel_job: inserting an open job's id into it cancels the job, and ends the code that runs.
--
--     INSERT INTO cancel_job (job_id) VALUES ('20260131-093000-5f2c9a1e');

-- noqa: disable=RF01,CP02,LT05

DROP VIEW IF EXISTS cancel_job;

CREATE VIEW cancel_job AS
SELECT job_id
FROM jobs
WHERE status = 'canceled';

CREATE TRIGGER cancel_job_insert
INSTEAD OF INSERT ON cancel_job
BEGIN
    SELECT RAISE(ABORT, 'There is no open job of this job_id: it has ended, or is not in this store.')
    WHERE NOT EXISTS (
        SELECT 1 FROM jobs
        WHERE jobs.job_id = NEW.job_id AND jobs.status IN ('queued', 'running')
    );
    UPDATE jobs
    SET
        status = 'canceled',
        done_runs = (
            SELECT COALESCE(SUM(task_rows.run_count), 0) FROM task_rows
            WHERE task_rows.job_key = jobs.job_key AND task_rows.status IN ('finished', 'failed')
        ),
        failed_runs = (
            SELECT COALESCE(SUM(task_rows.failed_runs), 0) FROM task_rows
            WHERE task_rows.job_key = jobs.job_key AND task_rows.status = 'failed'
        ),
        finished_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'now')
    WHERE job_id = NEW.job_id;
    UPDATE task_rows
    SET status = 'canceled', finished_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'now')
    WHERE
        task_rows.job_key = (SELECT jobs.job_key FROM jobs WHERE jobs.job_id = NEW.job_id)
        AND task_rows.status IN ('queued', 'running');
    DELETE FROM slots WHERE slots.job_key = (SELECT jobs.job_key FROM jobs WHERE jobs.job_id = NEW.job_id);
    DELETE FROM results WHERE results.job_key = (SELECT jobs.job_key FROM jobs WHERE jobs.job_id = NEW.job_id);
    DELETE FROM console_chunks
    WHERE console_chunks.job_key = (SELECT jobs.job_key FROM jobs WHERE jobs.job_id = NEW.job_id);
    DELETE FROM crash_rows WHERE crash_rows.job_key = (SELECT jobs.job_key FROM jobs WHERE jobs.job_id = NEW.job_id);
    DELETE FROM inputs WHERE inputs.job_key = (SELECT jobs.job_key FROM jobs WHERE jobs.job_id = NEW.job_id);
    DELETE FROM frames WHERE frames.job_key = (SELECT jobs.job_key FROM jobs WHERE jobs.job_id = NEW.job_id);
    DELETE FROM scripts WHERE scripts.job_key = (SELECT jobs.job_key FROM jobs WHERE jobs.job_id = NEW.job_id);
    DELETE FROM waiters WHERE waiters.job_key = (SELECT jobs.job_key FROM jobs WHERE jobs.job_id = NEW.job_id);
END;
