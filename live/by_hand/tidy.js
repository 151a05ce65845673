// Has a Node collect its garbage twice when it gets SIGUSR2, since it knows no real-time signals: `node --require ./tidy.js`. See sitecustomize.py.
"use strict";

process.on("SIGUSR2", () => {
  require("node:v8").setFlagsFromString("--expose-gc");
  const collect = require("node:vm").runInNewContext("gc");
  collect();
  collect();
  require("node:fs").writeSync(2, `tidy pid=${process.pid}\n`);
});
