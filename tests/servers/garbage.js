// A server whose answers leave garbage: trees of JSON, which V8 keeps until it collects.
//
//   node garbage.js PORT [worker]
//
//   /garbage          some megabytes of it
//   /tell             how many full collections were made, and how much of it was finalized
//   /worker           a thread that does the same, waits a little, and is ended in its wait; how many were
//   /end              ends with status 7, by process.exit, in the middle of everything
//   anything else     a short answer
//
// With "worker" a thread is there, too, which does the same once and waits. Prints its port.
"use strict";

const http = require("node:http");
const { PerformanceObserver, constants } = require("node:perf_hooks");
const { Worker, isMainThread } = require("node:worker_threads");

let collections = 0;
let finalized = 0;
let ended = 0;
let running = false;
const registry = new FinalizationRegistry(() => {
  // It is JavaScript, and never runs within other JavaScript.
  if (running) {
    process.abort();
  }
  finalized += 1;
});

new PerformanceObserver((list) => {
  collections += list.getEntries().filter(({ detail }) => detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR).length;
}).observe({ entryTypes: ["gc"] });

function garbage() {
  const rows = [];
  for (let row = 0; row < 20000; row += 1) {
    rows.push({ id: row, name: `row ${row}`, values: [row, row + 1, row + 2] });
  }
  const copy = JSON.parse(JSON.stringify(rows));
  registry.register(copy, "copy");
  return copy.length;
}

if (isMainThread) {
  const [port, worker] = process.argv.slice(2);
  const server = http.createServer((request, response) => {
    running = true;
    let body = "fine\n";
    if (request.url === "/garbage") {
      body = `${garbage()}\n`;
    } else if (request.url === "/worker") {
      const passing = new Worker(__filename);
      passing.once("message", () => setTimeout(() => passing.terminate().then(() => (ended += 1)), 30));
      body = `${ended}\n`;
    } else if (request.url === "/tell") {
      body = `${collections} ${finalized}\n`;
    }
    running = false;
    response.writeHead(200, { "content-type": "text/plain", "content-length": Buffer.byteLength(body) });
    response.end(body, () => request.url === "/end" && process.exit(7));
  });
  const listen = () => server.listen(Number(port), "127.0.0.1", () => console.log(server.address().port));
  if (worker) {
    new Worker(__filename).once("message", listen);
  } else {
    listen();
  }
} else {
  const { parentPort } = require("node:worker_threads");
  parentPort.on("message", () => {});
  garbage();
  parentPort.postMessage("ready");
}
