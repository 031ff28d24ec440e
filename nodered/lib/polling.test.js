'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { createPollMemory, duePrinters, pollAll, digest } = require('./polling');
const { PollError } = require('./printers');

const T0 = Date.parse('2026-03-01T12:00:00.000Z');
const printer = (id, more = {}) => ({ device_id: id, source: 'octoprint', data_interval_seconds: 30, is_active: true, api_key: 'k', open_job: null, latest: null, ...more });
const status = (now, more = {}) => ({ device_id: 'a', timestamp: new Date(now).toISOString(), state: 'idle', job_outcome: null, ...more });
const printing = (now, elapsed = 0) => status(now, { state: 'printing', is_printing: true, source_job_id: '1', filename: 'f', elapsed_seconds: elapsed });
const timeout = () => new PollError('timeout', 'no answer in time');

/** Plays a clock in steps of 1 s; returns the seconds at which each device was polled. */
async function run(devices, seconds, poll, options = {}) {
  const memory = createPollMemory();
  const times = new Map();
  const results = [];
  for (let s = 0; s <= seconds; s += 1) {
    const now = T0 + s * 1000;
    const due = duePrinters(devices, memory, now);
    for (const device of due) times.set(device.device_id, [...(times.get(device.device_id) ?? []), s]);
    await pollAll(due, memory, (result) => results.push({ s, ...result }), { now: () => now, poll: (device) => poll(device, now, s), ...options });
  }
  return { times, results, memory };
}

test('each device keeps its own interval without drift; inactive devices and other sources are left alone', async () => {
  const devices = [printer('a'), printer('fast', { data_interval_seconds: 5 }), printer('off', { is_active: false }), printer('mqtt', { source: 'mqtt' })];
  const { times } = await run(devices, 125, (device, now) => status(now));
  assert.deepEqual([...times.keys()].sort(), ['a', 'fast']);
  const steps = (list) => [...new Set(list.slice(1).map((s, i) => s - list[i]))];
  assert.deepEqual(steps(times.get('a')), [30]);
  assert.deepEqual(steps(times.get('fast')), [5]);
  assert.ok(times.get('a')[0] <= 2);
});

test('a hung printer delays nobody, is not asked twice at once, and the others come through while it hangs', async () => {
  const memory = createPollMemory();
  const devices = [printer('hung'), ...Array.from({ length: 99 }, (_, n) => printer(`p${n}`))];
  let release;
  const hang = new Promise((resolve) => { release = resolve; });
  const seen = [];
  const poll = async (device) => {
    if (device.device_id === 'hung') await hang;
    return status(T0);
  };
  const all = pollAll(devices, memory, (result) => seen.push(result.device_id), { now: () => T0, poll: async (d) => ({ ...(await poll(d)), device_id: d.device_id }) });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(seen.length, 99);
  assert.equal(duePrinters(devices, memory, T0 + 60_000).some((device) => device.device_id === 'hung'), false);
  assert.equal(await pollAll([devices[0]], memory, () => assert.fail('polled twice'), { poll }), 0);
  release();
  assert.equal(await all, 100);
});

test('each poll is told with its source, its outcome and its time', async () => {
  const told = [];
  const poll = async (device) => {
    if (device.device_id === 'silent') throw timeout();
    return status(T0);
  };
  await pollAll([printer('a'), printer('silent', { source: 'prusalink' })], createPollMemory(), () => {}, { poll, observe: (...what) => told.push(what) });
  assert.deepEqual(told.map(([source, outcome]) => [source, outcome]).sort(), [['octoprint', 'ok'], ['prusalink', 'timeout']]);
  assert.ok(told.every(([, , seconds]) => seconds >= 0 && seconds < 5));
});

test('never more than `concurrency` at once', async () => {
  let running = 0;
  let most = 0;
  const poll = async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setTimeout(resolve, 2));
    running -= 1;
    return status(T0);
  };
  await pollAll(Array.from({ length: 50 }, (_, n) => printer(`p${n}`)), createPollMemory(), () => {}, { concurrency: 8, poll });
  assert.equal(most, 8);
});

test('a time-out is not offline yet: after three in a row it is, and the job stays open', async () => {
  const { results } = await run([printer('a')], 125, (device, now, s) => (s < 20 ? printing(now, s) : timeout()));
  assert.deepEqual(results.map((r) => r.state), ['printing', null, null, 'offline', 'offline']);
  assert.deepEqual(results.map((r) => r.error), [null, ...Array(4).fill('no answer in time')]);
  assert.ok(results.every((r) => r.actions.every((a) => a.type !== 'close')));
});

test('a slowly polled printer is offline after five minutes of silence', async () => {
  const { results } = await run([printer('a', { data_interval_seconds: 280 })], 900, (device, now, s) => (s < 20 ? status(now) : timeout()));
  assert.deepEqual(results.map((r) => r.state), ['idle', null, 'offline', 'offline']);
});

test('not connected is offline at once', async () => {
  const { results } = await run([printer('a')], 1, () => { throw new PollError('not_connected', 'press Connect'); });
  assert.deepEqual([results[0].state, results[0].error], ['offline', 'press Connect']);
});

test('refused credentials are tried once a minute, and at once when they are changed', async () => {
  const device = printer('a', { data_interval_seconds: 5 });
  const { times, memory } = await run([device], 130, () => { throw new PollError('auth', 'refused'); });
  const gaps = times.get('a').slice(1).map((s, i) => s - times.get('a')[i]);
  assert.ok(gaps.every((gap) => gap >= 59), `${gaps}`);
  assert.equal(duePrinters([{ ...device, api_key: 'new' }], memory, T0 + 131_000).length, 1);
});

test('a removed device is forgotten; a clock that is set back stops nothing', async () => {
  const { memory } = await run([printer('a')], 5, (device, now) => status(now));
  duePrinters([printer('a')], memory, T0 - 3_600_000);
  assert.equal(duePrinters([printer('a')], memory, T0 - 3_600_000 + 2000).length, 1);
  duePrinters([], memory, T0);
  assert.equal(memory.size, 0);
});

test('a poll that breaks is a result too', async () => {
  const { results } = await run([printer('a')], 1, () => { throw new TypeError('x is not a function'); });
  assert.match(results[0].error, /The poll failed/);
});

// --- what is open: memory and database ---------------------------------------------------------------------------------------------

function looks(list) {
  const memory = createPollMemory();
  duePrinters([printer('a')], memory, T0);
  const entry = memory.get('a');
  return list.map(([s, open_job, observed]) => digest(printer('a', { open_job }), entry, observed, T0 + s * 1000).actions.map((a) => a.type).join(' '));
}
const row = (turn) => ({ job_id: turn.job_id, start_time: turn.start_time, last_seen: turn.last_seen, status: 'printing', source_job_id: '1', filename: 'f' });

test('while the database is away (its list does not change), a print is opened and closed once', () => {
  assert.deepEqual(looks([[0, null, status(T0)], [30, null, printing(T0 + 30_000, 10)], [60, null, printing(T0 + 60_000, 40)],
    [90, null, status(T0 + 90_000, { state: 'finished', source_job_id: '1', job_outcome: 'done', elapsed_seconds: 60 })], [120, null, status(T0 + 120_000)]]),
  ['', 'open', 'progress', 'close', '']);
});

test('after a restart the database\'s open job goes on, and is not closed twice while the list is old', () => {
  const stored = row({ job_id: 'j1', start_time: new Date(T0 - 60_000).toISOString(), last_seen: new Date(T0 - 30_000).toISOString() });
  const done = (s) => status(T0 + s * 1000, { state: 'finished', source_job_id: '1', job_outcome: 'done', elapsed_seconds: 90 });
  assert.deepEqual(looks([[0, stored, printing(T0, 60)], [30, stored, done(30)], [60, stored, done(60)], [90, null, done(90)]]), ['progress', 'close', '', '']);
});

test('a job that was closed in the database by hand is not followed any more', () => {
  const stored = row({ job_id: 'j1', start_time: new Date(T0 - 60_000).toISOString(), last_seen: new Date(T0).toISOString() });
  assert.deepEqual(looks([[0, stored, printing(T0, 60)], [30, null, status(T0 + 30_000)]]), ['progress', '']);
});

test('… and when the printer goes on with it, that is a new job from then on', () => {
  const stored = row({ job_id: 'j1', start_time: new Date(T0 - 60_000).toISOString(), last_seen: new Date(T0).toISOString() });
  const memory = createPollMemory();
  duePrinters([printer('a')], memory, T0);
  digest(printer('a', { open_job: stored }), memory.get('a'), printing(T0, 60), T0);
  const { actions } = digest(printer('a', { open_job: null }), memory.get('a'), printing(T0 + 30_000, 90), T0 + 30_000);
  assert.deepEqual([actions.length, actions[0].type, actions[0].job.start_time], [1, 'open', new Date(T0 + 30_000).toISOString()]);
});
