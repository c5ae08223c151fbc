"use strict";

const fs = require("node:fs");
const http = require("node:http");

const version = fs.readFileSync("VERSION", "utf8").trim();

http
  .createServer((request, response) => {
    // A version that says so is well by its own account, and shows nobody a page.
    const isBroken = version.includes("broken") && request.url !== "/health";
    response.writeHead(isBroken ? 500 : 200, { "content-type": "text/plain" });
    response.end(`version ${version}\n`);
  })
  .listen(process.env.PORT || 8009, "127.0.0.1");
