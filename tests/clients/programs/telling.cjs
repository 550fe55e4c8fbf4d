// How a JavaScript program tells what its client got: the same lines as telling.py.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const START_MS = 1760000400000;
const END_MS = START_MS + 3600000;
const UNKNOWN = "unknown symbol";
const baseUrl = process.argv[2];
// By kind (HMAC, RSA, ED25519): the key's name, and the secret or the private key in PEM.
const keys = JSON.parse(process.env.CLIENT_KEYS ?? "{}");

function version(name) {
  const roots = (process.env.NODE_PATH || "").split(path.delimiter);
  const files = roots.map((root) => path.join(root, name, "package.json"));
  return JSON.parse(fs.readFileSync(files.find((file) => fs.existsSync(file)))).version;
}

function sorted(key, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return value === undefined ? null : value;
  }
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, value[name]]));
}

// The class and Binance's code: the rest of the text may have headers and addresses in it.
function failure(error) {
  const text = error instanceof Error ? error.message : JSON.stringify(error);
  const code = error.code ?? text.match(/-[12]\d{3}\b/)?.[0];
  return `${error.constructor.name} ${code ?? text.slice(0, 200)}`;
}

// `calls`: functions by name, which return promises.
async function tell(name, calls, manner = "") {
  const client = `${name} ${version(name)} JavaScript ${manner}`.trim();
  for (const [call, ask] of Object.entries(calls)) {
    let line;
    try {
      line = { answer: await ask() };
    } catch (error) {
      line = { error: failure(error) };
    }
    process.stdout.write(JSON.stringify({ client, call, ...line }, sorted) + "\n");
  }
}

module.exports = { START_MS, END_MS, UNKNOWN, baseUrl, keys, tell };
