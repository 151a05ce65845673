// A server of small pictures, which libvips makes of a large one: `node report_sharp.js PORT`, sharp at $NODE_PATH.
"use strict";

const http = require("node:http");
const sharp = require("sharp");

// As its documentation advises where pictures differ.
sharp.cache(false);
const large = sharp({ create: { width: 3000, height: 2000, channels: 3, background: "white" } }).png().toBuffer();

http
  .createServer(async (request, response) => {
    const source = await large;
    const widths = Array.from({ length: 8 }, (_, number) => 400 + 100 * number);
    const small = await Promise.all(widths.map((width) => sharp(source).resize(width).jpeg().toBuffer()));
    response.end(`${small.length}\n`);
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
