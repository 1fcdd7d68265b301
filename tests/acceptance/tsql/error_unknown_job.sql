-- A job that nobody knows is named.
-- error: 51002 There is no job "nobody"
EXEC rx.fetch_result N'nobody';
