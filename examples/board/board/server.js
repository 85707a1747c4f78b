// Serves the board's page, and passes on what anybody writes to all who have it open.
"use strict";

const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");
const http = require("node:http");

// RFC 6455, section 1.3.
const WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const LONGEST = 1000;
const NOTES = 50;

const files = {
    "/": ["text/html; charset=utf-8", readFileSync(`${__dirname}/index.html`)],
    "/board.js": ["text/javascript", readFileSync(`${__dirname}/board.js`)],
    "/healthz": ["text/plain", "ok\n"],
};
const notes = [];
const readers = new Set();

const server = http.createServer((request, answer) => {
    const [type, body] = files[request.url] ?? [];
    answer.writeHead(type ? 200 : 404, {
        "Content-Type": type ?? "text/plain",
        "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'",
    });
    answer.end(body ?? "There is no such page.\n");
});

server.on("upgrade", (request, socket) => {
    const key = request.headers["sec-websocket-key"] ?? "";
    const accept = createHash("sha1").update(key + WEBSOCKET).digest("base64");
    socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
            `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    readers.add(socket);
    notes.forEach((note) => socket.write(frame(note)));
    let seen = Buffer.alloc(0);
    socket.on("data", (bytes) => (seen = read(Buffer.concat([seen, bytes]), socket)));
    socket.on("close", () => readers.delete(socket));
    socket.on("error", () => socket.destroy());
});

// Takes whole frames off the front. A browser sends each note as one frame of text.
function read(bytes, socket) {
    while (bytes.length >= 6) {
        const short = bytes[1] & 127;
        const length = short === 126 ? bytes.readUInt16BE(2) : short;
        const start = short === 126 ? 8 : 6;
        if (short === 127 || length > 4 * LONGEST || (bytes[0] & 15) === 8) {
            socket.end(Buffer.from([0x88, 0]));
            return Buffer.alloc(0);
        }
        if (bytes.length < start + length) {
            break;
        }
        const mask = bytes.subarray(start - 4, start);
        const text = bytes.subarray(start, start + length).map((byte, at) => byte ^ mask[at % 4]);
        if ((bytes[0] & 15) === 1) {
            write(text.toString());
        }
        bytes = bytes.subarray(start + length);
    }
    return bytes;
}

function write(text) {
    const note = text.slice(0, LONGEST);
    notes.push(note);
    notes.splice(0, notes.length - NOTES);
    readers.forEach((socket) => socket.write(frame(note)));
}

function frame(text) {
    const body = Buffer.from(text);
    const head = body.length < 126 ? [0x81, body.length] : [0x81, 126, body.length >> 8, body.length & 255];
    return Buffer.concat([Buffer.from(head), body]);
}

server.listen(process.env.SOCKET);
process.on("SIGTERM", () => {
    server.close(() => process.exit());
    readers.forEach((socket) => socket.end(Buffer.from([0x88, 0])));
});
