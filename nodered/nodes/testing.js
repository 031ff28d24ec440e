'use strict';
// Real services for the tests: a private broker, a database of their own, a proxy that can be cut, a whole Node-RED.

const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { Client } = require('pg');

const NODERED = path.join(__dirname, '..');
const ROOT = path.join(NODERED, '..');
const installed = path.join(ROOT, '.run/env/python/bin/python');
/** The Python of the private environment. */
const PYTHON = process.env.ENMS_PYTHON || (fs.existsSync(installed) ? installed : 'python3');

let server;
/** URL of a PostgreSQL superuser: ENMS_TEST_PG, else of a server that lives as long as this process. */
function databaseServer() {
  server ??= process.env.ENMS_TEST_PG ? Promise.resolve(process.env.ENMS_TEST_PG) : new Promise((resolve, reject) => {
    // It ends when its standard input does, so when this process does, however that happens.
    const child = spawn(PYTHON, ['-m', 'tests.plugin.cluster'], { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdout.once('data', (chunk) => resolve(String(chunk).trim()));
    child.once('error', reject).once('exit', () => reject(new Error('the tests\' PostgreSQL did not start')));
    for (const handle of [child, child.stdin, child.stdout]) handle.unref();
  });
  return server;
}

const delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Ask until the answer is true. @throws after `seconds`, naming what was waited for */
async function until(what, question, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    if (await question()) return;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await delay(50);
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function temporaryFolder(t, name) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `enms-${name}-`));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** A database that exists for one test. Returns {client, url: URL, name}; the role enms_ingest may use it. */
async function temporaryDatabase(t, schema) {
  const name = `test_nodered_${process.pid}_${Math.random().toString(36).slice(2, 8)}`;
  const url = new URL(await databaseServer());
  process.env.PGPASSWORD = url.password; // for what connects by host and port
  const server = new Client(url.href);
  await server.connect();
  await server.query(`CREATE DATABASE ${name}`);
  await server.query('DO $$ BEGIN CREATE ROLE enms_ingest LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$');
  url.pathname = `/${name}`;
  const client = new Client(url.href);
  await client.connect();
  await client.query(schema);
  await client.query('GRANT ALL ON ALL TABLES IN SCHEMA public TO enms_ingest; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO enms_ingest');
  t.after(async () => {
    await client.end();
    await server.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await server.end();
  });
  return { client, url, name };
}

/** A TCP door before a server that a test can shut. Returns {port, cut(), open()}. */
async function startProxy(t, target) {
  const sockets = new Set();
  let shut = false;
  const server = net.createServer((incoming) => {
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
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    shut = true;
    for (const socket of sockets) socket.destroy();
  };
  t.after(() => {
    cut();
    server.close();
  });
  return { port: server.address().port, cut, open: () => { shut = false; } };
}

/** A mosquitto of our own. Returns {port, kill(), restart()}. */
async function startBroker(t) {
  const folder = temporaryFolder(t, 'broker');
  const port = await freePort();
  const file = path.join(folder, 'mosquitto.conf');
  fs.writeFileSync(file, [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'persistence true', `persistence_location ${folder}/`,
    'autosave_interval 1', 'max_queued_messages 0', 'log_type error', process.getuid() === 0 ? 'user root' : ''].join('\n'));
  let child;
  const start = async () => {
    child = spawn('mosquitto', ['-c', file], { stdio: 'ignore' });
    await until('mosquitto', () => new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); }).once('error', () => resolve(false));
    }));
  };
  const end = (signal) => new Promise((resolve) => { child.once('exit', resolve); child.kill(signal); });
  await start();
  t.after(() => end('SIGKILL'));
  return { port, stop: () => end('SIGTERM'), start };
}

/**
 * A whole Node-RED with these flows. Returns {port, stateDir, kill(), stop(), start(), log(), health()}.
 * @param {{flows: object[], broker?: {port}, databasePort?: number, databaseName?: string, environment?: object}} options
 */
async function startNodeRed(t, { flows, flowsDir, broker, databasePort, databaseName, environment = {} }) {
  const stateDir = temporaryFolder(t, 'state');
  const port = await freePort();
  if (flows) {
    flowsDir = temporaryFolder(t, 'flows');
    fs.writeFileSync(path.join(flowsDir, '010-test.json'), JSON.stringify(flows));
  }
  const settings = {
    ...process.env, ENMS_PYTHON: PYTHON,
    ENMS_STATE_DIR: stateDir, ENMS_FLOWS_DIR: flowsDir, ENMS_NODERED_PORT: String(port),
    ENMS_EDITOR_USER: 'operator', ENMS_EDITOR_PASSWORD: 'test', ENMS_SECRET_KEY: 'test',
    ENMS_DB_HOST: '127.0.0.1', ENMS_DB_PORT: String(databasePort ?? ''), ENMS_DB_NAME: databaseName ?? '', ENMS_DB_INGEST_PASSWORD: 'unused',
    ENMS_MQTT_HOST: '127.0.0.1', ENMS_MQTT_PORT: String(broker?.port ?? ''), ...environment,
  };
  let child = null;
  let output = '';
  const health = async () => {
    try {
      return await (await fetch(`http://127.0.0.1:${port}/api/nodered/health`)).json();
    } catch {
      return null;
    }
  };
  const start = async (ready = (answer) => answer?.flows === 'started') => {
    child = spawn(process.execPath, [require.resolve('node-red/red.js'), '--settings', path.join(NODERED, 'settings.js')], { env: settings, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk; });
    try {
      await until('Node-RED', async () => ready(await health()), 30);
    } catch (error) {
      throw new Error(`${error.message}\n${output.slice(-3000)}`);
    }
  };
  const end = (signal) => new Promise((resolve) => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', resolve);
    child.kill(signal);
  });
  t.after(() => end('SIGKILL'));
  await start();
  return { port, stateDir, flowsDir, kill: () => end('SIGKILL'), stop: () => end('SIGTERM'), start, log: () => output, health };
}

module.exports = { delay, until, freePort, temporaryFolder, temporaryDatabase, startProxy, startBroker, startNodeRed, NODERED, PYTHON };
