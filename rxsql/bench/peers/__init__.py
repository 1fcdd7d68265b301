"""Systems that run functions: rxsql, its store without a worker, and the peers that are installed."""
