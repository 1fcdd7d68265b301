"""`python -m rxsql.cli`: the command line where its script is not on the path."""

from rxsql.cli import main

main()
