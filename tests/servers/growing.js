// A server whose heap grows in different ways. Every path answers a few bytes.
//
//   node growing.js PORT
//
//   /leak/BYTES     keeps objects of so much for good
//   /aged/BYTES     drops such objects when they are old: only a full collection finds them
//
// Prints its port.
"use strict";

const http = require("node:http");

const leaked = [];
const young = [];

// 8 bytes each, in the heap itself.
const objects = (bytes) => new Array(bytes / 8).fill(0.5);

http
  .createServer((request, response) => {
    const [, work, bytes] = request.url.split("/");
    if (work === "leak") {
      leaked.push(objects(Number(bytes)));
    } else if (work === "aged") {
      young.push(objects(Number(bytes)));
      if (young.length > 1500) {
        young.shift();
      }
    }
    response.end("ok\n");
  })
  .listen(Number(process.argv[2]), "127.0.0.1", function () {
    console.log(this.address().port);
  });
