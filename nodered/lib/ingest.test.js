'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { createIngest, createMemory, parseBatch } = require('./ingest');
const { AT, MESSAGES, plusPlugS } = require('./parsers/fixtures');

const message = (topic, payload, more = {}) => ({
  topic, payload: typeof payload === 'string' ? payload : JSON.stringify(payload), arrived: AT, backlog: false, ...more,
});

test('a batch of all kinds gives its rows in order, and keeps arrival and backlog', () => {
  const out = createIngest()(MESSAGES.map(({ topic, payload }) => message(topic, payload, { backlog: true })));
  assert.equal(out.rejects.length, 0);
  assert.equal(out.details.length, 2);
  assert.ok(out.readings.every((r) => r.backlog && r.arrived === AT));
  assert.deepEqual(out.readings.slice(0, 2).map((r) => r.meter_id), ['SPPS-02/switch:0', 'hall/1/pro4/switch:2']);
});

test('the last status is remembered between batches', () => {
  const ingest = createIngest('shelly');
  ingest([message('p/status/switch:0', plusPlugS)]);
  const change = { method: 'NotifyStatus', params: { 'switch:0': { aenergy: { total: 8000 } } } };
  const out = ingest([message('p/events/rpc', change)]);
  assert.equal(out.readings[0].power_watts, 2.7);
});

test('what cannot be used is a reject with topic, payload and reason that SQL can store', () => {
  const batch = [
    message('who/knows', '1'), message('p/status/switch:0', '{"apower":"\u0000"'), message('p/status/wifi', '{}'),
    /** @type {any} */ (null), /** @type {any} */ ({ topic: 5, payload: undefined }),
  ];
  const out = createIngest('shelly')(batch);
  assert.deepEqual(out.rejects.slice(0, 2), [
    { source: 'mqtt', topic: 'who/knows', payload: '1', reason: 'no parser knows this topic' },
    {
      source: 'shelly_gen2', topic: 'p/status/switch:0', payload: '{"apower":"\ufffd"',
      reason: 'the payload is not valid JSON',
    },
  ]);
  assert.equal(out.rejects.length, 4);
  assert.equal(out.ignored, 1);
});

test('of queued sensor samples only the newest per sensor counts', () => {
  const queued = ['20', '21', '22'].flatMap((t) => [
    message('esp32/o/dht22/temperature_c', t, { backlog: true }),
    message('esp32/o/dht22/humidity', '40', { backlog: true }),
  ]);
  const out = createIngest('esp32')(queued);
  assert.deepEqual(out.samples.map((s) => s.temperature_c), [22]);
  assert.equal(out.rejects.length, 2);
  assert.match(out.rejects[0].reason, /superseded/);
});

test('of queued plug details only the newest per plug counts; live ones all do', () => {
  const plug = (Power, backlog) => message('tele/t/SENSOR', { ENERGY: { Power } }, { backlog });
  const out = createIngest('tasmota')([plug(1, true), plug(2, true), plug(3, false), plug(4, false)]);
  assert.deepEqual([out.readings.length, out.details.map((d) => d.power_w), out.rejects.length], [4, [2, 3, 4], 0]);
});

test('a flood of new device names does not fill the memory', () => {
  const memory = createMemory();
  const batch = Array.from({ length: 12_000 }, (_, i) => message(`dev${i}/status/switch:0`, plusPlugS));
  assert.equal(parseBatch(batch, memory).readings.length, 12_000);
  assert.equal(memory.previous.size, 5000);
});

test('an unknown tab is an error that names the tabs', () => {
  assert.throws(() => createIngest(/** @type {any} */ ('tesla')), /use one of shelly/);
});
