// A server whose answers leave garbage: trees of JSON, which V8 keeps until it collects.
//
//   node garbage.js PORT [worker]
//
//   /garbage          some megabytes of it
//   /tell             how many full collections were made, and how much of it was finalized
//   /worker           a thread that does the same, waits a little, and is ended in its wait; how many were
//   /end              ends with status 7, by process.exit, in the middle of everything
//   /later?N          the same with status 8 in N milliseconds, when it waits or is about to
//   /limit            how large V8 lets its heap become, in MB
//   /full             fills it, which ends the program
//   /gc               what globalThis.gc is; called, if it is there
//   /snapshot         writes a snapshot of the heap, and says how many nodes it has
//   anything else     a short answer
//
// With "worker" a thread is there, too, which does the same once and waits. Prints its port.
"use strict";

const http = require("node:http");
const { PerformanceObserver, constants } = require("node:perf_hooks");
const fs = require("node:fs");
const v8 = require("node:v8");
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

function full() {
  const rows = [];
  for (;;) {
    rows.push({ row: rows.length, text: `row ${rows.length}` });
  }
}

function snapshot() {
  const { snapshot: counts, nodes } = JSON.parse(fs.readFileSync(v8.writeHeapSnapshot(), "utf8"));
  return nodes.length === counts.node_count * counts.meta.node_fields.length ? counts.node_count : "torn";
}

// What needs no more than a word.
const ANSWERS = {
  "/garbage": garbage,
  "/tell": () => `${collections} ${finalized}`,
  "/limit": () => v8.getHeapStatistics().heap_size_limit / 1048576,
  "/full": full,
  "/gc": () => (globalThis.gc?.(), typeof globalThis.gc),
  "/snapshot": snapshot,
};

if (isMainThread) {
  const [port, worker] = process.argv.slice(2);
  const server = http.createServer((request, response) => {
    running = true;
    let body = "fine\n";
    if (request.url in ANSWERS) {
      body = `${ANSWERS[request.url]()}\n`;
    } else if (request.url === "/worker") {
      const passing = new Worker(__filename);
      passing.once("message", () => setTimeout(() => passing.terminate().then(() => (ended += 1)), 30));
      body = `${ended}\n`;
    } else if (request.url.startsWith("/later?")) {
      setTimeout(() => process.exit(8), Number(request.url.slice(7)));
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
