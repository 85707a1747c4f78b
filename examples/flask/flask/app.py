"""Counts visits in Redis. Whoever counts needs a token, which the login gives."""

import os
from datetime import datetime, timedelta, timezone
from hmac import compare_digest

import jwt
import redis
from flask import Flask, jsonify, request
from flask_swagger_ui import get_swaggerui_blueprint

DOCUMENT = "/flask/openapi.json"
TOKEN_TTL = timedelta(hours=1)

app = Flask(__name__, static_folder=None)
app.register_blueprint(get_swaggerui_blueprint("/flask/swagger", DOCUMENT))
key = os.environ["SECRET_KEY"]
users = {"admin": os.environ["ADMIN_PASSWORD"]}
visits = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)


def refused(status, code, message):
    return jsonify(error={"code": code, "message": message}), status


@app.get("/flask/api/ping")
def ping():
    return jsonify(status="ok")


@app.get("/flask/api/health")
def health():
    visits.ping()
    return jsonify(status="ok")


@app.post("/flask/auth/login")
def login():
    body = request.get_json(silent=True)
    body = body if isinstance(body, dict) else {}
    name, password = str(body.get("username")), str(body.get("password"))
    if not compare_digest(users.get(name, "").encode(), password.encode()) or name not in users:
        return refused(401, "wrong_credentials", "the name or the password is wrong")
    until = datetime.now(timezone.utc) + TOKEN_TTL
    return jsonify(token=jwt.encode({"sub": name, "exp": until}, key, algorithm="HS256"))


@app.get("/flask/api/count")
def count():
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise jwt.InvalidTokenError("no token")
        jwt.decode(token, key, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        return refused(401, "unauthorized", "a token is needed: log in first")
    return jsonify(visits=visits.incr("visits"))


@app.get(DOCUMENT)
def document():
    answer = {"responses": {"200": {"description": "It worked."}}}
    return jsonify(
        openapi="3.1.0",
        info={"title": "The API behind /flask/", "version": "1"},
        paths={
            "/flask/api/ping": {"get": answer},
            "/flask/auth/login": {"post": answer},
            "/flask/api/count": {"get": answer},
        },
    )


@app.errorhandler(redis.RedisError)
def redis_is_away(_):
    return refused(503, "redis_away", "Redis does not answer")
