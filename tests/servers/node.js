// The application on Node's own servers: one process, or a cluster of two workers.
//
//   node node.js http|https|http2 PORT SITE [cluster]
//
// SITE is a directory with `file`, certificate.pem and key.pem. Prints "ready" when all processes listen.
"use strict";

const cluster = require("node:cluster");
const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const http2 = require("node:http2");
const https = require("node:https");
const path = require("node:path");

const [protocol, port, site, processes] = process.argv.slice(2);
const MOST = 1 << 20;
const PIECE = Buffer.alloc(1 << 18, "s");
const FILE = path.join(site, "file");

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "text/plain", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function upload(request, response) {
  let length = 0;
  request.on("data", (piece) => (length += piece.length));
  request.on("end", () => answer(response, 200, `${length}\n`));
}

// Answers as soon as the header tells enough, and reads on, so that the client is not cut off.
function limited(request, response) {
  if (Number(request.headers["content-length"] || 0) > MOST) {
    request.resume();
    return answer(response, 413, "too large\n");
  }
  return upload(request, response);
}

// 5 MiB in pieces, as fast as the client takes them; no length is announced.
function stream(request, response) {
  let left = 20;
  const more = () => {
    while (left > 0) {
      left -= 1;
      if (!response.write(PIECE)) {
        response.once("drain", more);
        return;
      }
    }
    response.end();
  };
  more();
}

function file(request, response) {
  response.writeHead(200, { "content-length": fs.statSync(FILE).size });
  fs.createReadStream(FILE).pipe(response);
}

function events(request, response) {
  let number = 0;
  response.writeHead(200, { "content-type": "text/event-stream" });
  const timer = setInterval(() => {
    number += 1;
    response.write(`data: ${number}\n\n`);
    if (number === 20) {
      clearInterval(timer);
      response.end();
    }
  }, 5);
  response.on("close", () => clearInterval(timer));
}

const PATHS = {
  "/small": (request, response) => answer(response, 200, "hello\n"),
  "/slow": (request, response) => setTimeout(() => answer(response, 200, "hello\n"), 600),
  "/upload": upload,
  "/limited": limited,
  "/stream": stream,
  "/file": file,
  "/events": events,
};

function serve(request, response) {
  const handler = PATHS[request.url.split("?")[0]];
  if (handler) handler(request, response);
  else answer(response, 404, "no such path\n");
}

// RFC 6455: the handshake, and one unfragmented text frame of up to 125 bytes at a time sent back unmasked.
function webSocket(request, socket, head) {
  const accept = crypto
    .createHash("sha1")
    .update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
    .digest("base64");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let received = head;
  const frames = (piece) => {
    received = Buffer.concat([received, piece]);
    while (received.length >= 2) {
      const length = received[1] & 0x7f;
      if (received.length < 6 + length) return;
      const mask = received.subarray(2, 6);
      const payload = Buffer.from(received.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4]));
      const opcode = received[0] & 0x0f;
      socket.write(Buffer.concat([Buffer.from([0x80 | opcode, length]), payload]));
      received = received.subarray(6 + length);
      if (opcode === 8) return void socket.end();
    }
  };
  socket.on("data", frames);
  socket.on("error", () => socket.destroy());
}

function listen() {
  const keepAliveTimeout = 30_000;
  const create = {
    http: () => http.createServer({ keepAliveTimeout }, serve),
    https: () => {
      const [cert, key] = ["certificate.pem", "key.pem"].map((name) => fs.readFileSync(path.join(site, name)));
      // The same in all processes of a cluster, or no session could be resumed.
      const ticketKeys = Buffer.alloc(48, "tickets");
      return https.createServer({ keepAliveTimeout, cert, key, ticketKeys }, serve);
    },
    http2: () => http2.createServer(serve),
  };
  const server = create[protocol]();
  server.on("upgrade", webSocket);
  return new Promise((done) => server.listen(Number(port), "127.0.0.1", done));
}

if (processes === "cluster" && cluster.isPrimary) {
  const workers = [cluster.fork(), cluster.fork()];
  const ready = workers.map((worker) => new Promise((done) => worker.on("message", done)));
  process.on("SIGTERM", () => {
    for (const worker of workers) worker.process.kill("SIGTERM");
    process.exit(0);
  });
  Promise.all(ready).then(() => console.log("ready"));
} else {
  listen().then(() => (cluster.isWorker ? process.send("ready") : console.log("ready")));
}
