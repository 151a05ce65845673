// The application that Node serves: a plain one, with no code for memory in it. Rows of text become objects, and those JSON.
"use strict";

const fs = require("node:fs");
const http = require("node:http");

const LINES = fs.openSync(process.env.DEMO_LINES);
// Where each line begins, and the end.
const BEGINS = [0];
for (const line of fs.readFileSync(LINES, "utf8").split("\n").slice(0, -1)) BEGINS.push(BEGINS.at(-1) + Buffer.byteLength(line) + 1);

function rows(first, count, done) {
  const begin = BEGINS[first - 1];
  const size = BEGINS[first - 1 + count] - begin;
  fs.read(LINES, Buffer.alloc(size), 0, size, begin, (error, _, text) => {
    if (error) throw error;
    done(text.toString().trimEnd().split("\n").map((line) => JSON.parse(line)));
  });
}

const server = http.createServer((request, response) => {
  const answer = (status, value) => {
    const body = Buffer.from(JSON.stringify(value));
    response.writeHead(status, { "Content-Type": "application/json", "Content-Length": body.length });
    response.end(body);
  };
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  if (pathname === "/status") answer(200, { status: "ok" });
  else if (pathname === "/rows") rows(+searchParams.get("first"), +searchParams.get("count"), (found) => answer(200, found));
  else answer(404, null);
});
// Longer than any pause of the client: no connection closes while a request is on its way.
server.keepAliveTimeout = 30_000;
// The kernel picks a free port.
server.listen(0, "127.0.0.1", () => console.log(`Listening on http://127.0.0.1:${server.address().port}`));
