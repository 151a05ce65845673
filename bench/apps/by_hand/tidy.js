// Has a Node collect its garbage twice when it gets SIGUSR2, since it knows no real-time signals: `node --require ./tidy.js`. See sitecustomize.py.
"use strict";

process.on("SIGUSR2", () => {
  const v8 = require("node:v8");
  if (v8.queryObjects) {
    // To count the objects of a class it collects all that can be collected. Unlike gc() it gives back what new objects had, too.
    v8.queryObjects(class {});
    v8.queryObjects(class {});
  } else {
    v8.setFlagsFromString("--expose-gc");
    const collect = require("node:vm").runInNewContext("gc");
    collect();
    collect();
  }
  require("node:fs").writeSync(2, `tidy pid=${process.pid}\n`);
});
