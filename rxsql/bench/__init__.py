"""`rxsql bench`: the figures by which to judge a machine and its database, and the peers beside which they stand."""
