'use strict';
// mqtt-ingest and postgres in a whole Node-RED, with a real broker and a real database, while parts are killed.
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const mqtt = require('mqtt');
const { delay, until, editor, temporaryDatabase, startProxy, startBroker, startNodeRed } = require('./testing');

const SCHEMA = `CREATE TABLE seen (place bigint GENERATED ALWAYS AS IDENTITY, topic text, number integer,
  arrived timestamptz, backlog boolean, UNIQUE (topic, number, arrived))`;
const INSERT = `INSERT INTO seen (topic, number, arrived, backlog)
  SELECT * FROM unnest($1::text[], $2::integer[], $3::timestamptz[], $4::boolean[]) ON CONFLICT DO NOTHING`;
const FLOWS = [
  { id: 'tab', type: 'tab', label: 'Test' },
  {
    id: 'in', type: 'mqtt-ingest', z: 'tab', name: 'in', x: 200, y: 40, topics: 'test/#', clientId: 'test-ingest',
    batchMessages: 500, batchMs: 50, wires: [['parse']],
  },
  {
    id: 'parse', type: 'function', z: 'tab', name: 'parse', x: 400, y: 40, outputs: 1, wires: [['out']],
    func: 'msg.payload = msg.payload.map((m) => ({ ...m, number: Number(m.payload) })); return msg;',
  },
  {
    id: 'out', type: 'postgres', z: 'tab', name: 'out', x: 600, y: 40, mode: 'batch', role: 'ingest', statement: INSERT,
    columns: 'topic number arrived backlog', batchRows: 500, batchMs: 50, memoryRows: 10000, spoolMegabytes: 64,
    timeout: 10, wires: [[]],
  },
];

/** All of it, ready, and a publisher. */
async function setup(t) {
  const database = await temporaryDatabase(t, SCHEMA);
  const proxy = await startProxy(t, { host: '127.0.0.1', port: Number(database.url.port) });
  const broker = await startBroker(t);
  const stores = { databasePort: proxy.port, databaseName: database.name };
  const nodered = await startNodeRed(t, { flows: FLOWS, broker, ...stores });
  await until('ready', async () => (await nodered.health())?.ok);
  const publisher = mqtt.connect({
    host: '127.0.0.1', port: broker.port, clientId: 'publisher', clean: false, reconnectPeriod: 100,
  });
  t.after(() => publisher.endAsync(true));
  await new Promise((resolve) => publisher.once('connect', resolve));
  const publish = (number) => publisher.publishAsync('test/a', String(number), { qos: 1 });
  const select = async (sql) => (await database.client.query(sql)).rows;
  const numbers = async () => (await select('SELECT number FROM seen ORDER BY place')).map(({ number }) => number);
  const count = async () => (await select('SELECT count(DISTINCT number)::integer AS n FROM seen'))[0].n;
  const arrived = (wanted) => until(`${wanted} messages in the database`, async () => (await count()) === wanted);
  const source = async () => (await nodered.health())?.sources[0];
  const isMqtt = async (state) => until(`mqtt ${state}`, async () => (await nodered.health())?.mqtt === state);
  return { select, proxy, broker, nodered, publish, numbers, arrived, source, isMqtt };
}
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

test('kill -9 in mid-stream: every message is in the database exactly once', { timeout: 90000 }, async (t) => {
  const { nodered, publish, arrived, select, source } = await setup(t);
  let sent = 0;
  const stop = new AbortController();
  const stream = (async () => {
    while (!stop.signal.aborted) {
      await Promise.all(range(sent, sent + 40).map(publish));
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
  stop.abort();
  await stream;
  await arrived(sent);
  // What the broker delivers again, because its acknowledgement died with the process, is known by its message id.
  const [{ rows }] = await select('SELECT count(*)::integer AS rows FROM seen');
  t.diagnostic(`${sent} messages`);
  assert.equal(rows, sent);
  await until('journal is let go', async () => (await source())?.unsafe === 0);
});

test('what the broker queued is marked as backlog, what follows is not', { timeout: 60000 }, async (t) => {
  const { nodered, publish, select, arrived, source } = await setup(t);
  await publish(0);
  await arrived(1);
  await nodered.stop();
  for (const number of [1, 2, 3]) await publish(number);
  await nodered.start((health) => health?.ok);
  await until('end of the backlog', async () => (await source())?.backlog === false);
  await publish(4);
  await arrived(5);
  const rows = await select('SELECT number, backlog FROM seen ORDER BY number');
  assert.deepEqual(rows.map(({ backlog }) => backlog), [false, true, true, true, false]);
});

test('the database away: rows wait on disk in order, through a kill too', { timeout: 90000 }, async (t) => {
  const { nodered, proxy, publish, numbers, arrived } = await setup(t);
  for (const number of range(0, 50)) await publish(number);
  await arrived(50);
  proxy.cut();
  for (const number of range(50, 400)) await publish(number);
  await until('rows on disk', async () => (await nodered.health())?.spool.spooled_rows === 350);
  await nodered.kill();
  await nodered.start();
  for (const number of range(400, 500)) await publish(number);
  proxy.open();
  await arrived(500);
  assert.deepEqual([...new Set(await numbers())], range(0, 500));
});

test('the broker restarted: Node-RED comes back by itself and the queue is kept', { timeout: 60000 }, async (t) => {
  const { isMqtt, broker, publish, arrived } = await setup(t);
  await publish(0);
  await arrived(1);
  await broker.stop();
  await isMqtt('not connected');
  await broker.start();
  await isMqtt('connected');
  await publish(1);
  await arrived(2);
});

test('a deploy in mid-stream loses nothing', { timeout: 60000 }, async (t) => {
  const { nodered, publish, arrived } = await setup(t);
  const { flows, deploy } = await editor(nodered);
  let sent = 0;
  for (let round = 0; round < 4; round++) {
    await Promise.all(range(sent, sent + 200).map(publish));
    sent += 200;
    const changed = flows.map((node) => (node.id === 'parse' ? { ...node, name: `parse ${round}` } : node));
    assert.equal(await deploy('full', changed), 200);
  }
  await arrived(sent);
  const files = fs.readdirSync(nodered.flowsDir);
  assert.deepEqual(files, ['010-test.json']);
  assert.match(fs.readFileSync(path.join(nodered.flowsDir, files[0]), 'utf8'), /parse 3/);
});
