'use strict';
// mqtt-ingest and postgres in a whole Node-RED, with a real broker and a real database, while parts are killed.
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const mqtt = require('mqtt');
const { delay, until, temporaryDatabase, startProxy, startBroker, startNodeRed } = require('./testing');

const SCHEMA = 'CREATE TABLE seen (place bigint GENERATED ALWAYS AS IDENTITY, topic text, number integer, arrived timestamptz, backlog boolean, UNIQUE (topic, number, arrived))';
const INSERT = `INSERT INTO seen (topic, number, arrived, backlog)
  SELECT * FROM unnest($1::text[], $2::integer[], $3::timestamptz[], $4::boolean[]) ON CONFLICT DO NOTHING`;
const FLOWS = [
  { id: 'tab', type: 'tab', label: 'Test' },
  { id: 'in', type: 'mqtt-ingest', z: 'tab', name: 'in', topics: 'test/#', clientId: 'test-ingest', batchMessages: 500, batchMs: 50, wires: [['parse']] },
  { id: 'parse', type: 'function', z: 'tab', name: 'parse', outputs: 1, wires: [['out']],
    func: 'msg.payload = msg.payload.map((m) => ({ ...m, number: Number(m.payload) })); return msg;' },
  { id: 'out', type: 'postgres', z: 'tab', name: 'out', mode: 'batch', role: 'ingest', statement: INSERT, columns: 'topic number arrived backlog',
    batchRows: 500, batchMs: 50, memoryRows: 10000, spoolMegabytes: 64, timeout: 10, wires: [[]] },
].map((node, place) => (node.z ? { x: 200 * place, y: 40, ...node } : node));

async function setup(t) {
  const database = await temporaryDatabase(t, SCHEMA);
  const proxy = await startProxy(t, { host: '127.0.0.1', port: Number(database.url.port) });
  const broker = await startBroker(t);
  const nodered = await startNodeRed(t, { flows: FLOWS, broker, databasePort: proxy.port, databaseName: database.name });
  await until('ready', async () => (await nodered.health())?.ok);
  const publisher = mqtt.connect({ host: '127.0.0.1', port: broker.port, clientId: 'publisher', clean: false, reconnectPeriod: 100 });
  t.after(() => publisher.endAsync(true));
  await new Promise((resolve) => publisher.once('connect', resolve));
  const publish = (number, topic = 'test/a') => publisher.publishAsync(topic, String(number), { qos: 1 });
  const numbers = async () => (await database.client.query('SELECT number FROM seen ORDER BY place')).rows.map(({ number }) => number);
  const count = async () => (await database.client.query('SELECT count(DISTINCT number)::integer AS n FROM seen')).rows[0].n;
  return { database, proxy, broker, nodered, publisher, publish, numbers, count };
}
const range = (count) => Array.from({ length: count }, (_, i) => i);

test('kill -9 in mid-stream: every message is in the database exactly once', { timeout: 90000 }, async (t) => {
  const { nodered, publish, count, database } = await setup(t);
  let sent = 0;
  let going = true;
  const stream = (async () => {
    while (going) {
      await Promise.all(range(40).map((i) => publish(sent + i)));
      sent += 40;
      await delay(5);
    }
  })();
  for (const pause of [300, 900, 40]) {
    await delay(pause);
    await nodered.kill();
    await delay(100);
    await nodered.start();
  }
  await delay(300);
  going = false;
  await stream;
  await until(`${sent} messages in the database`, async () => (await count()) === sent);
  // What the broker delivers again, because its acknowledgement died with the process, is known by its message id.
  const { rows: [{ rows }] } = await database.client.query('SELECT count(*)::integer AS rows FROM seen');
  t.diagnostic(`${sent} messages`);
  assert.equal(rows, sent);
  await until('journal is let go', async () => (await nodered.health()).sources[0].unsafe === 0);
});

test('what the broker queued while Node-RED was away is marked as backlog, what follows is not', { timeout: 60000 }, async (t) => {
  const { nodered, publish, database, count } = await setup(t);
  await publish(0);
  await until('live row', async () => (await count()) === 1);
  await nodered.stop();
  for (const number of [1, 2, 3]) await publish(number);
  await nodered.start((answer) => answer?.ok);
  await until('end of the backlog', async () => !(await nodered.health()).sources[0].backlog);
  await publish(4);
  await until('all rows', async () => (await count()) === 5);
  const { rows } = await database.client.query('SELECT number, backlog FROM seen ORDER BY number');
  assert.deepEqual(rows.map(({ backlog }) => backlog), [false, true, true, true, false]);
});

test('the database away: rows wait on disk in order, through a kill too', { timeout: 90000 }, async (t) => {
  const { nodered, proxy, publish, numbers, count } = await setup(t);
  for (const number of range(50)) await publish(number);
  await until('first rows', async () => (await count()) === 50);
  proxy.cut();
  for (let number = 50; number < 400; number++) await publish(number);
  await until('rows on disk', async () => (await nodered.health()).spool.spooled_rows === 350);
  await nodered.kill();
  await nodered.start();
  for (let number = 400; number < 500; number++) await publish(number);
  proxy.open();
  await until('all rows', async () => (await count()) === 500);
  const order = [...new Set(await numbers())];
  assert.deepEqual(order, range(500));
});

test('the broker restarted: Node-RED comes back by itself and the queue is kept', { timeout: 60000 }, async (t) => {
  const { nodered, broker, publish, count } = await setup(t);
  await publish(0);
  await until('first row', async () => (await count()) === 1);
  await broker.stop();
  await until('noticed', async () => (await nodered.health()).mqtt === 'not connected');
  await broker.start();
  await until('connected again', async () => (await nodered.health()).mqtt === 'connected');
  await publish(1);
  await until('second row', async () => (await count()) === 2);
});

test('a deploy in mid-stream loses nothing', { timeout: 60000 }, async (t) => {
  const { nodered, publish, count } = await setup(t);
  const base = `http://127.0.0.1:${nodered.port}/nodered`;
  const form = new URLSearchParams({ client_id: 'node-red-admin', grant_type: 'password', scope: '*', username: 'operator', password: 'test' });
  const { access_token: token } = await (await fetch(`${base}/auth/token`, { method: 'POST', body: form })).json();
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'node-red-api-version': 'v2' };
  const current = await (await fetch(`${base}/flows`, { headers })).json();
  let sent = 0;
  for (let round = 0; round < 4; round++) {
    await Promise.all(range(200).map((i) => publish(sent + i)));
    sent += 200;
    const flows = current.flows.map((node) => (node.id === 'parse' ? { ...node, name: `parse ${round}` } : node));
    const answer = await fetch(`${base}/flows`, { method: 'POST', headers: { ...headers, 'node-red-deployment-type': 'full' }, body: JSON.stringify({ flows }) });
    assert.equal(answer.status, 200);
  }
  await until('all rows', async () => (await count()) === sent);
  const file = fs.readdirSync(nodered.flowsDir);
  assert.deepEqual(file, ['010-test.json']);
  assert.match(fs.readFileSync(path.join(nodered.flowsDir, file[0]), 'utf8'), /parse 3/);
});
