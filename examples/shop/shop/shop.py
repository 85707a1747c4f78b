"""A small shop. What is on its shelves lies in Postgres."""

import os

import psycopg
from flask import Flask, abort, jsonify

app = Flask(__name__)


def database():
    return psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=5)


@app.get("/shop/")
def shelves():
    with database() as db:
        rows = db.execute("SELECT name, cents, stock FROM items ORDER BY name")
        return jsonify([{"name": name, "cents": cents, "stock": stock} for name, cents, stock in rows])


@app.post("/shop/items/<name>/buy")
def buy(name):
    with database() as db:
        row = db.execute(
            "UPDATE items SET stock = stock - 1 WHERE name = %s AND stock > 0 RETURNING stock", [name]
        ).fetchone()
    if row is None:
        abort(409, "sold out")
    return jsonify(name=name, stock=row[0])


@app.get("/shop/healthz")
def healthz():
    with database() as db:
        db.execute("SELECT 1")
    return jsonify(status="ok")
