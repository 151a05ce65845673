// Has a Node collect its garbage twice when it gets SIGUSR2, since it knows no real-time signals, and write to stderr what V8's heap holds free then: it keeps
// its pages for the next objects. `node --require ./tidy.js`. See sitecustomize.py.
"use strict";

process.on("SIGUSR2", () => {
  require("node:v8").setFlagsFromString("--expose-gc");
  const collect = require("node:vm").runInNewContext("gc");
  collect();
  collect();
  const { total_physical_size, used_heap_size } = require("node:v8").getHeapStatistics();
  require("node:fs").writeSync(2, `v8: free=${total_physical_size - used_heap_size}\ntidy pid=${process.pid}\n`);
});
