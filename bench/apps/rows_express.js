// Express, with rows as JSON: `node rows_express.js PORT`, Express at $NODE_PATH.
"use strict";

const express = require("express");
const { rows } = require("./rows.js");

const app = express();
app.get("/status", (request, response) => {
  response.send("fine\n");
});
app.get("/rows", ({ query }, response) => {
  response.json(rows(Number(query.first ?? 1), Number(query.count)));
});
app.listen(Number(process.argv[2]), "127.0.0.1");
