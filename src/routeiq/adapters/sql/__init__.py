"""Outcome logs in SQL databases: one machine's in a SQLite file, many machines' in PostgreSQL.

What both share stands here: the backlog between requests and the thread that writes, the rows, the promises. What a
database does with rows is `sqlite` and `postgres`.
"""
