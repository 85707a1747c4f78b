"""Brings the tables to what this version needs. It runs once a version, and the old version can live with the result."""

from time import sleep

from psycopg import OperationalError

from shop import database

# On the first run the database has just been started.
for _ in range(60):
    try:
        database().close()
        break
    except OperationalError:
        sleep(1)

with database() as db:
    db.execute("CREATE TABLE IF NOT EXISTS items (name text PRIMARY KEY, cents int NOT NULL, stock int NOT NULL)")
    db.execute("INSERT INTO items VALUES ('apple', 40, 100), ('bread', 320, 20) ON CONFLICT DO NOTHING")
