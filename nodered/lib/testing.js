'use strict';
// What the tests of several modules share: chance that can be repeated, folders and HTTP servers for one test.

/** @import { RequestListener } from 'node:http' */
/** @import { AddressInfo, Server } from 'node:net' */
/** @import { TestContext } from 'node:test' */

const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

/**
 * A small reproducible random generator (mulberry32).
 * @param {number} seed
 * @returns {() => number} 0 to 1
 */
function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * A folder that exists for one test.
 * @param {TestContext} t
 * @param {string} name
 * @returns {string} path
 */
function temporaryFolder(t, name) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `enms-${name}-`));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/**
 * Lets a server listen on a port of its own.
 * @param {Server} server
 * @returns {Promise<number>} the port
 */
function listen(server) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(/** @type {AddressInfo} */ (server.address()).port));
  });
}

/**
 * An HTTP server that exists for one test.
 * @param {TestContext} t
 * @param {RequestListener} answer
 * @returns {Promise<string>} its host:port
 */
async function serve(t, answer) {
  const server = http.createServer(answer);
  const port = await listen(server);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${port}`;
}

module.exports = { dice, temporaryFolder, listen, serve };
