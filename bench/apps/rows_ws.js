// A WebSocket server that answers each message, a number, with so many rows: `node rows_ws.js PORT`, ws at $NODE_PATH.
"use strict";

const http = require("node:http");
const { WebSocketServer } = require("ws");
const { rows } = require("./rows.js");

const server = http.createServer((request, response) => response.end("fine\n"));
new WebSocketServer({ server }).on("connection", (client) => {
  client.on("message", (count) => client.send(JSON.stringify(rows(1, Number(count)))));
});
server.listen(Number(process.argv[2]), "127.0.0.1");
