-- A function that is not published is named.
-- error: 51006 Nothing is published as "nothing"
EXEC rx.run_function N'nothing';
