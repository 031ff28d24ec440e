'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { createPollMemory, duePrinters, pollAll, digest } = require('./polling');
const { PollError } = require('./printers/poll-error');

const T0 = Date.parse('2026-03-01T12:00:00.000Z');
const at = (seconds) => T0 + seconds * 1000;
const iso = (seconds) => new Date(at(seconds)).toISOString();
const printer = (id, more = {}) => ({
  device_id: id, source: 'octoprint', data_interval_seconds: 30, is_active: true, api_key: 'k', open_job: null,
  latest: null, ...more,
});
/** @returns {any} as much of a status as polling looks at */
const status = (now, more = {}) =>
  ({ device_id: 'a', timestamp: new Date(now).toISOString(), state: 'idle', job_outcome: null, ...more });
const printing = (now, elapsed = 0) => status(now, {
  state: 'printing', is_printing: true, source_job_id: '1', filename: 'f', elapsed_seconds: elapsed,
});
const timeout = () => new PollError('timeout', 'no answer in time');
const fails = (error) => async () => { throw error; };

/** Plays a clock in steps of 1 s; returns the seconds at which each device was polled. */
async function run(devices, seconds, poll, options = {}) {
  const memory = createPollMemory();
  /** @type {Record<string, number[]>} */
  const times = {};
  /** @type {any[]} */
  const results = [];
  for (let s = 0; s <= seconds; s += 1) {
    const now = at(s);
    const due = duePrinters(devices, memory, now);
    for (const device of due) (times[device.device_id] ??= []).push(s);
    const keep = (result) => results.push({ s, ...result });
    await pollAll(due, memory, keep, { now: () => now, poll: (device) => poll(device, now, s), ...options });
  }
  return { times, results, memory };
}
const gaps = (list) => list.slice(1).map((s, i) => s - list[i]);

test('each device keeps its own interval; inactive devices and other sources are left alone', async () => {
  const devices = [
    printer('a'), printer('fast', { data_interval_seconds: 5 }), printer('off', { is_active: false }),
    printer('mqtt', { source: 'mqtt' }),
  ];
  const { times } = await run(devices, 125, async (device, now) => status(now));
  assert.deepEqual(Object.keys(times).sort(), ['a', 'fast']);
  assert.deepEqual([...new Set(gaps(times.a))], [30]);
  assert.deepEqual([...new Set(gaps(times.fast))], [5]);
  assert.ok(times.a[0] <= 2);
});

test('a hung printer delays nobody and is not asked twice at once', async () => {
  const memory = createPollMemory();
  const devices = [printer('hung'), ...Array.from({ length: 99 }, (_, n) => printer(`p${n}`))];
  let release = () => {};
  const hang = new Promise((resolve) => { release = () => resolve(null); });
  /** @type {string[]} */
  const seen = [];
  const poll = async ({ device_id }) => {
    if (device_id === 'hung') await hang;
    return status(T0, { device_id });
  };
  const all = pollAll(devices, memory, (result) => seen.push(result.device_id), { now: () => T0, poll });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(seen.length, 99);
  assert.equal(duePrinters(devices, memory, at(60)).some((device) => device.device_id === 'hung'), false);
  assert.equal(await pollAll([devices[0]], memory, () => assert.fail('polled twice'), { poll }), 0);
  release();
  assert.equal(await all, 100);
});

test('each poll is observed with its source, its outcome and its time', async () => {
  /** @type {[string, string, number][]} */
  const told = [];
  const poll = async (device) => {
    if (device.device_id === 'silent') throw timeout();
    return status(T0);
  };
  const devices = [printer('a'), printer('silent', { source: 'prusalink' })];
  await pollAll(devices, createPollMemory(), () => {}, { poll, observe: (...what) => told.push(what) });
  const outcomes = told.map(([source, outcome]) => [source, outcome]).sort();
  assert.deepEqual(outcomes, [['octoprint', 'ok'], ['prusalink', 'timeout']]);
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
  const devices = Array.from({ length: 50 }, (_, n) => printer(`p${n}`));
  await pollAll(devices, createPollMemory(), () => {}, { concurrency: 8, poll });
  assert.equal(most, 8);
});

test('a time-out is not offline yet: after three in a row it is, and the job stays open', async () => {
  const poll = async (device, now, s) => {
    if (s >= 20) throw timeout();
    return printing(now, s);
  };
  const { results } = await run([printer('a')], 125, poll);
  assert.deepEqual(results.map((r) => r.state), ['printing', null, null, 'offline', 'offline']);
  assert.deepEqual(results.map((r) => r.error), [null, ...Array(4).fill('no answer in time')]);
  assert.ok(results.every((r) => r.actions.every((a) => a.type !== 'close')));
});

test('a slowly polled printer is offline after five minutes of silence', async () => {
  const poll = async (device, now, s) => {
    if (s >= 20) throw timeout();
    return status(now);
  };
  const { results } = await run([printer('a', { data_interval_seconds: 280 })], 900, poll);
  assert.deepEqual(results.map((r) => r.state), ['idle', null, 'offline', 'offline']);
});

test('not connected is offline at once', async () => {
  const { results } = await run([printer('a')], 1, fails(new PollError('not_connected', 'press Connect')));
  assert.deepEqual([results[0].state, results[0].error], ['offline', 'press Connect']);
});

test('refused credentials are tried once a minute, and at once when they are changed', async () => {
  const device = printer('a', { data_interval_seconds: 5 });
  const { times, memory } = await run([device], 130, fails(new PollError('auth', 'refused')));
  assert.ok(gaps(times.a).every((gap) => gap >= 59), `${times.a}`);
  assert.equal(duePrinters([{ ...device, api_key: 'new' }], memory, at(131)).length, 1);
});

test('a removed device is forgotten; a clock that is set back stops nothing', async () => {
  const { memory } = await run([printer('a')], 5, async (device, now) => status(now));
  duePrinters([printer('a')], memory, at(-3600));
  assert.equal(duePrinters([printer('a')], memory, at(-3598)).length, 1);
  duePrinters([], memory, T0);
  assert.equal(memory.size, 0);
});

test('a poll that breaks is a result too', async () => {
  const { results } = await run([printer('a')], 1, fails(new TypeError('x is not a function')));
  assert.match(results[0].error, /The poll failed/);
});

// --- What is open: memory and database -------------------------------------------------------------------------------

/** digest() of one device: (seconds, the open job that the database shows, what was observed) → actions. */
function observer() {
  const memory = createPollMemory();
  duePrinters([printer('a')], memory, T0);
  const entry = memory.get('a');
  assert.ok(entry);
  return (seconds, open_job, observed) => digest(printer('a', { open_job }), entry, observed, at(seconds)).actions;
}
function actionsOf(looks) {
  const observe = observer();
  return looks.map((look) => observe(...look).map((a) => a.type).join(' '));
}
const stored = (lastSeen) => ({
  job_id: 'j1', start_time: iso(-60), last_seen: iso(lastSeen), status: 'printing', source_job_id: '1', filename: 'f',
});
const done = (seconds, elapsed) => status(at(seconds), {
  state: 'finished', source_job_id: '1', job_outcome: 'done', elapsed_seconds: elapsed,
});

test('while the database is away (its list does not change), a print is opened and closed once', () => {
  assert.deepEqual(actionsOf([
    [0, null, status(T0)], [30, null, printing(at(30), 10)], [60, null, printing(at(60), 40)], [90, null, done(90, 60)],
    [120, null, status(at(120))],
  ]), ['', 'open', 'progress', 'close', '']);
});

test('after a restart the database\'s open job continues, and is not closed twice while the list is old', () => {
  const job = stored(-30);
  assert.deepEqual(actionsOf([
    [0, job, printing(T0, 60)], [30, job, done(30, 90)], [60, job, done(60, 90)], [90, null, done(90, 90)],
  ]), ['progress', 'close', '', '']);
});

test('a job that was closed in the database by hand is not followed any more', () => {
  assert.deepEqual(actionsOf([[0, stored(0), printing(T0, 60)], [30, null, status(at(30))]]), ['progress', '']);
});

test('… and when the printer continues with it, that is a new job from then on', () => {
  const observe = observer();
  observe(0, stored(0), printing(T0, 60));
  const [opened, ...more] = observe(30, null, printing(at(30), 90));
  assert.ok(opened.type === 'open');
  assert.deepEqual([opened.job.start_time, more], [iso(30), []]);
});
