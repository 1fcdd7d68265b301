-- Values that are no JSON are refused.
-- error: 51006 @param_values must be a JSON object
EXEC rx.submit_script @script = N'', @param_values = N'x';
