// A program that serves nobody: every tenth of a second a timer takes memory, much of it twenty times and then little, and lets go
// of nearly all of it: `node --expose-gc report_timer.js`.
"use strict";

const fs = require("node:fs");

const MOST = 20;
const pins = [];
let tick = 0;

setInterval(() => {
  tick += 1;
  const blocks = Array.from({ length: tick <= MOST ? 12_000 : 20 }, () => Buffer.allocUnsafeSlow(2000).fill(1));
  pins.push(blocks.filter((_, number) => number % 2000 === 1999));
  if (tick === MOST + 1) {
    // When V8 would is anybody's guess.
    gc();
    fs.appendFileSync("reports", `${process.pid}\n`);
  }
}, 100);
