'use strict';
// Real services for the tests: a private broker, a database of their own, a proxy that can be cut, a whole Node-RED.

/** @import { ChildProcess } from 'node:child_process' */
/** @import { TestContext } from 'node:test' */
/** @import { Health } from './types' */

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { Client } = require('pg');
const { listen, temporaryFolder } = require('../lib/testing');

const NODERED = path.join(__dirname, '..');
const ROOT = path.join(NODERED, '..');
const installed = path.join(ROOT, '.run/env/python/bin/python');
/** The Python of the private environment. */
const PYTHON = process.env.ENMS_PYTHON || (fs.existsSync(installed) ? installed : 'python3');

/** @type {Promise<string> | undefined} */
let server;

/**
 * A PostgreSQL: ENMS_TEST_PG, otherwise a server that lives as long as this process.
 * @returns {Promise<string>} URL of its superuser
 */
function databaseServer() {
  server ??= process.env.ENMS_TEST_PG ? Promise.resolve(process.env.ENMS_TEST_PG) : startDatabaseServer();
  return server;
}

/** @returns {Promise<string>} */
function startDatabaseServer() {
  return new Promise((resolve, reject) => {
    // It ends when its standard input does, so when this process does, however that happens.
    const child = spawn(PYTHON, ['-m', 'tests.plugin.cluster'], { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdout.once('data', (chunk) => resolve(String(chunk).trim()));
    child.once('error', reject).once('exit', () => reject(new Error('the tests\' PostgreSQL did not start')));
    // Pipes of a child are sockets, whatever the types say of them.
    for (const handle of /** @type {{unref: () => void}[]} */ ([child, child.stdin, child.stdout])) handle.unref();
  });
}

/**
 * @param {number} milliseconds
 * @returns {Promise<void>}
 */
const delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Asks until the answer is true.
 * @param {string} what  is waited for
 * @param {() => unknown} question
 * @param {number} [seconds]
 * @returns {Promise<void>}
 * @throws {Error} after that many seconds
 */
async function until(what, question, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    if (await question()) return;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await delay(50);
  }
}

/** @returns {Promise<number>} a port that was free a moment ago */
async function freePort() {
  const listener = net.createServer();
  const port = await listen(listener);
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

/**
 * A database that exists for one test; the role enms_ingest may use it.
 * @param {TestContext} t
 * @param {string} schema  statements that make its tables
 * @returns {Promise<{client: Client, url: URL, name: string}>}
 */
async function temporaryDatabase(t, schema) {
  const name = `test_nodered_${process.pid}_${Math.random().toString(36).slice(2, 8)}`;
  const url = new URL(await databaseServer());
  process.env.PGPASSWORD = url.password; // for what connects by host and port
  const admin = new Client(url.href);
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.query(`DO $$ BEGIN CREATE ROLE enms_ingest LOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`);
  url.pathname = `/${name}`;
  const client = new Client(url.href);
  await client.connect();
  await client.query(schema);
  await client.query('GRANT ALL ON ALL TABLES IN SCHEMA public TO enms_ingest');
  await client.query('GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO enms_ingest');
  t.after(async () => {
    await client.end();
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  });
  return { client, url, name };
}

/**
 * A TCP door before a server that a test can shut.
 * @param {TestContext} t
 * @param {{host: string, port: number}} target
 * @returns {Promise<{port: number, cut: () => void, open: () => void}>}
 */
async function startProxy(t, target) {
  /** @type {Set<net.Socket>} */
  const sockets = new Set();
  let shut = false;
  const proxy = net.createServer((incoming) => {
    if (shut) return incoming.destroy();
    const outgoing = net.connect(target.port, target.host);
    for (const [from, to] of [[incoming, outgoing], [outgoing, incoming]]) {
      sockets.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  const port = await listen(proxy);
  const cut = () => {
    shut = true;
    for (const socket of sockets) socket.destroy();
  };
  t.after(() => {
    cut();
    proxy.close();
  });
  return { port, cut, open: () => { shut = false; } };
}

/**
 * Ends a process.
 * @param {ChildProcess | null} child
 * @param {NodeJS.Signals} signal
 * @returns {Promise<void>} resolves when it has ended
 */
function end(child, signal) {
  return new Promise((resolve) => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}

/**
 * Whether something listens on a port.
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function listens(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/**
 * A mosquitto of the test's own.
 * @param {TestContext} t
 * @returns {Promise<{port: number, stop: () => Promise<void>, start: () => Promise<void>}>}
 */
async function startBroker(t) {
  const folder = temporaryFolder(t, 'broker');
  const port = await freePort();
  const file = path.join(folder, 'mosquitto.conf');
  const isRoot = process.getuid?.() === 0;
  fs.writeFileSync(file, [
    `listener ${port} 127.0.0.1`, 'allow_anonymous true', 'persistence true', `persistence_location ${folder}/`,
    'autosave_interval 1', 'max_queued_messages 0', 'log_type error', isRoot ? 'user root' : '',
  ].join('\n'));
  /** @type {ChildProcess | null} */
  let child = null;
  const start = async () => {
    child = spawn('mosquitto', ['-c', file], { stdio: 'ignore' });
    await until('mosquitto', () => listens(port));
  };
  await start();
  t.after(() => end(child, 'SIGKILL'));
  return { port, stop: () => end(child, 'SIGTERM'), start };
}

/**
 * @typedef {object} NodeRed
 * @property {number} port
 * @property {string} flowsDir
 * @property {() => Promise<void>} kill
 * @property {() => Promise<void>} stop
 * @property {(ready?: (health: Health | null) => unknown) => Promise<void>} start  again, until it is ready: by default
 *   until flows run
 * @property {() => string} log  all that it has printed
 * @property {() => Promise<Health | null>} health  null while it does not answer
 */

/**
 * A whole Node-RED.
 * @param {TestContext} t
 * @param {object} options
 * @param {object[]} [options.flows]  its flows, otherwise those in flowsDir
 * @param {string} [options.flowsDir]
 * @param {string} [options.stateDir]
 * @param {{port: number}} [options.broker]
 * @param {number | string} [options.databasePort]
 * @param {string} [options.databaseName]
 * @returns {Promise<NodeRed>}
 */
async function startNodeRed(t, options) {
  const { flows, flowsDir = temporaryFolder(t, 'flows'), stateDir = temporaryFolder(t, 'state') } = options;
  const { broker, databasePort, databaseName } = options;
  const port = await freePort();
  if (flows) fs.writeFileSync(path.join(flowsDir, '010-test.json'), JSON.stringify(flows));
  const env = {
    ...process.env, ENMS_PYTHON: PYTHON,
    ENMS_STATE_DIR: stateDir, ENMS_FLOWS_DIR: flowsDir, ENMS_NODERED_PORT: String(port),
    ENMS_EDITOR_USER: 'operator', ENMS_EDITOR_PASSWORD: 'test', ENMS_SECRET_KEY: 'test',
    ENMS_DB_HOST: '127.0.0.1', ENMS_DB_PORT: String(databasePort ?? ''), ENMS_DB_NAME: databaseName ?? '',
    ENMS_DB_INGEST_PASSWORD: 'unused', ENMS_MQTT_HOST: '127.0.0.1', ENMS_MQTT_PORT: String(broker?.port ?? ''),
  };
  const command = [require.resolve('node-red/red.js'), '--settings', path.join(NODERED, 'settings.js')];
  /** @type {ChildProcess | null} */
  let child = null;
  let output = '';
  const health = async () => {
    try {
      return await (await fetch(`http://127.0.0.1:${port}/api/nodered/health`)).json();
    } catch {
      return null;
    }
  };
  /** @type {NodeRed['start']} */
  const start = async (ready = (answer) => answer?.flows === 'started') => {
    const started = spawn(process.execPath, command, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    child = started;
    for (const stream of [started.stdout, started.stderr]) stream.on('data', (chunk) => { output += chunk; });
    try {
      await until('Node-RED', async () => ready(await health()), 30);
    } catch (error) {
      throw new Error(`${error.message}\n${output.slice(-3000)}`, { cause: error });
    }
  };
  const kill = () => end(child, 'SIGKILL');
  t.after(kill);
  await start();
  return { port, flowsDir, kill, stop: () => end(child, 'SIGTERM'), start, log: () => output, health };
}

/**
 * Logs in to the editor of a Node-RED.
 * @param {NodeRed} nodered
 * @returns {Promise<{flows: any[], deploy: (kind: 'full' | 'nodes', flows: object[]) => Promise<number>}>} its flows,
 *   and how to change them: deploy returns the HTTP status
 */
async function editor({ port }) {
  const base = `http://127.0.0.1:${port}/nodered`;
  const login = {
    client_id: 'node-red-admin', grant_type: 'password', scope: '*', username: 'operator', password: 'test',
  };
  const answer = await fetch(`${base}/auth/token`, { method: 'POST', body: new URLSearchParams(login) });
  const { access_token } = await answer.json();
  const headers = {
    authorization: `Bearer ${access_token}`, 'content-type': 'application/json', 'node-red-api-version': 'v2',
  };
  const { flows } = await (await fetch(`${base}/flows`, { headers })).json();
  return {
    flows,
    async deploy(kind, changed) {
      const done = await fetch(`${base}/flows`, {
        method: 'POST',
        headers: { ...headers, 'node-red-deployment-type': kind },
        body: JSON.stringify({ flows: changed }),
      });
      return done.status;
    },
  };
}

module.exports = {
  delay, until, editor, temporaryFolder, temporaryDatabase, startProxy, startBroker, startNodeRed, NODERED, PYTHON,
};
