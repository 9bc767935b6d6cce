"""The rows: a port of a dozen verbs, PostgreSQL and memory behind it."""
