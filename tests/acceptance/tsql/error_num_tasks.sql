-- A job that no child could ever run is refused.
-- error: 51006 @num_tasks is the most children at once, 0 for no limit; it cannot be -1.
EXEC rx.submit_script @script = N'x = 1', @num_tasks = -1;
