"""The same two routes in plain Flask, as the peer of benches/api.sh: same paths, token and Redis."""

import os

import jwt
import redis
from flask import Flask, jsonify, request

app = Flask(__name__)
key = os.environ["SECRET_KEY"]
visits = redis.Redis.from_url(os.environ["REDIS_URL"])


@app.get("/flask/api/ping")
def ping():
    return jsonify(status="ok")


@app.get("/flask/api/count")
def count():
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise jwt.InvalidTokenError
        jwt.decode(token, key, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        return jsonify(error="unauthorized"), 401
    return jsonify(visits=visits.incr("visits"))
