-- Tell those who listen that the store has changed. In SQLite they watch the file.
-- Takes: sender, who tells it.
SELECT :sender;
