"""The only place that speaks SQL: tables, and the operations on them, for every kind of database."""
