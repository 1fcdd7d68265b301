"""A module a database: how it is opened, locked, watched, and what its errors mean."""
