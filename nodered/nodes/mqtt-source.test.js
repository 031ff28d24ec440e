'use strict';
// What the source does when it must not take more: a full disk, a database that lags. The broker keeps the rest.
/** @import { Message } from '../lib/types' */

const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const mqtt = require('mqtt');
const { MqttSource } = require('./mqtt-source');
const { delay, until, startBroker } = require('./testing');
const { temporaryFolder } = require('../lib/testing');

/** A source that is connected to a broker of its own, and all that it emits and says. */
async function setup(t, more) {
  const broker = await startBroker(t);
  process.env.ENMS_MQTT_HOST = '127.0.0.1';
  process.env.ENMS_MQTT_PORT = String(broker.port);
  /** @type {Message[]} */
  const seen = [];
  /** @type {string[]} */
  const states = [];
  const options = {
    clientId: 'test-source', topics: ['test/#'], batchMessages: 100, batchMs: 20, barrierMs: 200,
    emit: (batch) => seen.push(...batch), congested: () => false, flushed: async () => {},
    state: (level, text) => states.push(`${level}: ${text}`), ...more,
  };
  const source = new MqttSource(options);
  t.after(() => source.close());
  await source.start();
  await until('live', () => source.connected && !source.backlog);
  const client = await mqtt.connectAsync({ host: '127.0.0.1', port: broker.port });
  t.after(() => client.endAsync(true));
  const publish = (from, to, size = 10) => Promise.all(
    range(from, to).map((number) => client.publishAsync('test/a', String(number).padStart(size, '0'), { qos: 1 })),
  );
  const numbers = () => seen.map(({ payload }) => Number(payload));
  return { source, options, states, seen, publish, numbers, broker };
}
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const never = () => new Promise(() => {});
const LIMIT = { timeout: 60000 };

/** A disk of a few hundred kB; null where nobody may mount one. */
function smallDisk(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'enms-small-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    fs.rmdirSync(folder);
    return null;
  }
  t.after(() => {
    execFileSync('umount', ['--lazy', folder]);
    fs.rmdirSync(folder);
  });
  return folder;
}

test('with a full disk acknowledgements are held back, and nothing is missing later', LIMIT, async (t) => {
  const folder = smallDisk(t);
  if (folder === null) return t.skip('only root can make a small disk');
  // Nothing becomes safe, so that the journal may not shrink.
  const { source, states, publish, numbers } = await setup(t, { folder, flushed: never });
  await publish(1, 600, 1000);
  await until('disk full', () => states.some((state) => /^error: journal: .*ENOSPC/.test(state)));
  await delay(200);
  const before = numbers().length;
  assert.ok(before > 100 && before < 600);
  execFileSync('mount', ['-o', 'remount,size=5m', folder]);
  await until('all messages', () => numbers().length >= 600);
  assert.deepEqual(numbers(), range(1, 600));
  assert.equal(states.at(-1), 'ok: connected');
  assert.equal(source.journal.pending, 600);
});

test('while the database lags, memory does not grow, and the order stays', LIMIT, async (t) => {
  let lags = true;
  const folder = temporaryFolder(t, 'journal');
  const { states, publish, numbers } = await setup(t, { folder, congested: () => lags });
  await publish(1, 3000);
  await delay(200);
  assert.equal(numbers().length, 0);
  assert.ok(states.includes('waiting: waiting for the database'));
  lags = false;
  await until('all messages', () => numbers().length >= 3000);
  assert.deepEqual(numbers(), range(1, 3000));
});

test('a barrier leaves nothing behind, and none holds back the end', LIMIT, async (t) => {
  let barriers = 0;
  const folder = temporaryFolder(t, 'journal');
  const { source, publish } = await setup(t, { folder, barrierMs: 1, flushed: async () => { barriers += 1; } });
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const passed = async (count) => {
    for (const wanted of range(barriers + 1, barriers + count)) {
      await publish(wanted, wanted);
      await until('a barrier', () => barriers >= wanted);
    }
    await delay(100);
    return timers();
  };
  const before = await passed(2);
  assert.ok(await passed(12) <= before + 3, 'each barrier has left a timer');
  // The database is away: closing must not wait for it.
  source.flushed = never;
  await publish(99, 99);
  await delay(400);
  await source.close();
});

test('every message has a time of its own, and a replay has the same ones', LIMIT, async (t) => {
  const { source, options, seen, publish } = await setup(t, { folder: temporaryFolder(t, 'journal'), flushed: never });
  await publish(1, 1000);
  await until('all messages', () => seen.length >= 1000);
  assert.equal(new Set(seen.map(({ arrived }) => arrived)).size, 1000);
  await source.close();
  /** @type {Message[]} */
  const again = [];
  const successor = new MqttSource({ ...options, emit: (batch) => again.push(...batch) });
  t.after(() => successor.close());
  await successor.start();
  assert.deepEqual(again.slice(0, 1000), seen.slice(0, 1000));
});

test('a retained message is backlog for a client that comes later, live for one that is there', LIMIT, async (t) => {
  const { options, seen, broker } = await setup(t, { folder: temporaryFolder(t, 'journal') });
  const client = await mqtt.connectAsync({ host: '127.0.0.1', port: broker.port });
  t.after(() => client.endAsync(true));
  await client.publishAsync('test/retained', 'kept', { qos: 1, retain: true });
  await until('live', () => seen.length === 1);
  assert.equal(seen[0].backlog, false);
  /** @type {Message[]} */
  const late = [];
  const folder = temporaryFolder(t, 'journal');
  const source = new MqttSource({ ...options, clientId: 'late', folder, emit: (batch) => late.push(...batch) });
  t.after(() => source.close());
  await source.start();
  await until('retained', () => late.length === 1);
  assert.equal(late[0].backlog, true);
});
