// Pictures of the width that is asked for, which libvips makes of one of 4 megapixels: `node pictures.js PORT`, sharp at $NODE_PATH.
"use strict";

const http = require("node:http");
const sharp = require("sharp");

const noise = { type: "gaussian", mean: 128, sigma: 20 };
const large = sharp({ create: { width: 2400, height: 1700, channels: 3, background: "white", noise } })
  .jpeg()
  .toBuffer();

http
  .createServer(async (request, response) => {
    const source = await large;
    const { pathname, searchParams } = new URL(request.url, "http://127.0.0.1");
    if (pathname === "/status") {
      response.end("fine\n");
      return;
    }
    const width = Number(searchParams.get("width"));
    response.end(await sharp(source).resize(width).jpeg().toBuffer());
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
