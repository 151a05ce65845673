// Rows, made up when they are asked for: what V8 and JSON leave behind.
"use strict";

const TEXT = "The quick brown fox jumps over the lazy dog. ".repeat(10);

exports.rows = (first, count) =>
  Array.from({ length: count }, (_, number) => ({
    id: first + number,
    author: `author ${(first + number) % 2000}`,
    views: (first + number) * 7919,
    body: TEXT.slice(number % 50),
  }));
