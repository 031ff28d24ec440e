'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { step } = require('./jobs');
const { PollError } = require('./printers/poll-error');
const { dice } = require('./testing');

const T0 = Date.parse('2026-03-01T12:00:00.000Z');
const device = { device_id: 'MK4-1', data_interval_seconds: 30 };
const at = (seconds) => T0 + seconds * 1000;
const iso = (seconds) => new Date(at(seconds)).toISOString();
const gone = new PollError('timeout', 'no answer');

const idle = { state: 'idle' };
const printing = (id, elapsed, more = {}) => ({
  state: 'printing', is_printing: true, source_job_id: id, filename: `${id}.gcode`, elapsed_seconds: elapsed, ...more,
});
const finished = (id, elapsed, more = {}) => ({
  state: 'finished', source_job_id: id, filename: `${id}.gcode`, elapsed_seconds: elapsed, job_outcome: 'done', ...more,
});
const noId = (elapsed, more = {}) => ({
  state: 'printing', is_printing: true, filename: 'a.gcode', elapsed_seconds: elapsed, ...more,
});

/**
 * Plays what a printer said, in order.
 * @param {[number, any][]} looks  seconds, and a status or an error
 * @param {{job: any, previous: any}} [start]
 * @returns {{job: any, previous: any, actions: any[], rows: any[], closed: any[]}} the open job, all actions, the rows
 *   as the database has them then, and the actions that closed one
 */
function play(looks, start = { job: null, previous: null }) {
  let { job, previous } = start;
  const actions = [];
  const rows = new Map();
  for (const [seconds, said] of looks) {
    const observed = said instanceof Error
      ? said
      : { device_id: 'MK4-1', timestamp: iso(seconds), job_outcome: null, ...said };
    const turn = step(device, job, previous, observed, at(seconds));
    ({ job, previous } = turn);
    for (const action of turn.actions) {
      actions.push({ ...action, at: seconds });
      if (action.type === 'open') rows.set(action.job.job_id, { ...action.job });
      else Object.assign(rows.get(action.job_id) ?? {}, action);
    }
  }
  return { job, previous, actions, rows: [...rows.values()], closed: actions.filter((a) => a.type === 'close') };
}

const near = (time, seconds, slack) => {
  const isNear = Math.abs(Date.parse(time) - at(seconds)) <= slack * 1000;
  assert.ok(isNear, `${time} is not within ${slack} s of ${iso(seconds)}`);
};

test('a print seen late starts where its elapsed time says, and the start does not move', () => {
  const { job, actions } = play([
    [0, idle], [600, printing('1', 20)], [630, printing('1', 55, { progress_percent: 3 })],
  ]);
  assert.deepEqual(actions.map((a) => a.type), ['open', 'progress']);
  assert.equal(job.start_time, iso(580));
  assert.equal(job.progress_percent, 3);
});

test('a start never lies before the printer was last seen without a job', () => {
  assert.equal(play([[0, idle], [30, printing('1', 5000)]]).job.start_time, iso(0));
});

test('finished, stopped and error close with done, cancelled and error, where the elapsed time ends', () => {
  for (const [outcome, state] of [['done', 'finished'], ['cancelled', 'cancelled'], ['error', 'error']]) {
    const last = { ...finished('1', 45), state, job_outcome: outcome, state_text: 'Thermal runaway' };
    const { closed, job } = play([[0, idle], [30, printing('1', 25)], [60, last]]);
    assert.equal(job, null);
    assert.equal(closed.length, 1);
    assert.deepEqual([closed[0].status, closed[0].end_time, closed[0].estimated], [outcome, iso(50), false]);
  }
});

test('pause and attention keep the job open; paused time is counted apart', () => {
  const paused = { state: 'paused', is_printing: false, is_paused: true };
  const { job } = play([
    [0, printing('1', 0)], [30, printing('1', 30)], [60, { ...printing('1', 45), ...paused }],
    [90, { state: 'attention', source_job_id: '1', is_paused: true, is_printing: false }], [120, printing('1', 60)],
  ]);
  assert.equal(job.status, 'printing');
  assert.equal(job.paused_seconds, 60);
});

test('attention during a print that continues is not paused; without a job it opens nothing', () => {
  const attention = { state: 'attention', is_printing: true, source_job_id: '1' };
  assert.equal(play([[0, printing('1', 0)], [30, attention]]).job.status, 'printing');
  assert.equal(play([[0, idle], [30, { state: 'attention' }]]).job, null);
});

test('another job id closes the old and opens the new, one after the other', () => {
  const { actions, job } = play([
    [0, printing('1', 0)], [30, printing('1', 30, { progress_percent: 50, time_left_seconds: 300 })],
    [60, printing('2', 10)],
  ]);
  assert.deepEqual(actions.map((a) => a.type), ['open', 'progress', 'close', 'open']);
  const [, , closed] = actions;
  assert.deepEqual([closed.status, closed.end_time, closed.estimated], ['unknown', iso(50), true]);
  assert.equal(job.start_time, iso(50));
});

test('an id or a file used again is a new job when its elapsed time has fallen back', () => {
  for (const make of [(s) => printing('1', s), noId]) {
    const { rows, job } = play([[0, make(100)], [30, make(130)], [60, make(5)]]);
    assert.equal(rows.length, 2);
    assert.equal(job.start_time, iso(55));
  }
});

test('the same file printed once more while nobody looked is a new job', () => {
  const { rows } = play([[0, noId(600, { time_left_seconds: 600 })], [30, gone], [7200, noId(3000)]]);
  assert.equal(rows.length, 2);
  assert.deepEqual([rows[0].end_time, rows[0].status, rows[0].estimated], [iso(600), 'unknown', true]);
});

test('a source that falls silent: done near the end, otherwise unknown after a second look', () => {
  const nearly = play([[0, noId(10)], [30, noId(40, { progress_percent: 99.2, time_left_seconds: 10 })], [60, idle]]);
  assert.deepEqual([nearly.closed[0].status, nearly.closed[0].end_time], ['done', iso(40)]);
  const early = play([
    [0, noId(10)], [30, noId(40, { progress_percent: 40, time_left_seconds: 900 })], [60, idle], [90, idle],
  ]);
  assert.equal(early.closed.length, 1);
  const [closed] = early.closed;
  assert.deepEqual([closed.at, closed.status, closed.end_time, closed.estimated], [90, 'unknown', iso(60), true]);
  const hiccup = play([
    [0, noId(10)], [30, noId(40, { progress_percent: 40 })], [60, idle], [90, noId(100, { progress_percent: 42 })],
  ]);
  assert.deepEqual([hiccup.closed.length, hiccup.rows.length], [0, 1]);
});

test('a source that shows a cancelled print by its silence (OctoPrint) closes as cancelled at once', () => {
  const silence = { ...idle, filename: 'a.gcode', silence_means: 'cancelled' };
  const { closed } = play([[0, noId(10)], [30, noId(40, { progress_percent: 40 })], [60, silence]]);
  assert.deepEqual([closed[0].status, closed[0].estimated], ['cancelled', false]);
});

test('the history of a source tells how a job ended that is no longer shown', () => {
  const history = { ...idle, recent_jobs: [{ source_job_id: '1', outcome: 'cancelled' }] };
  const { closed } = play([[0, printing('1', 0)], [30, printing('1', 30)], [60, history]]);
  assert.equal(closed[0].status, 'cancelled');
});

test('a printer that vanishes and returns with the same job: nothing happened', () => {
  const { rows, closed, job } = play([[0, printing('1', 0)], [30, gone], [60, gone], [4000, printing('1', 4000)]]);
  assert.deepEqual([rows.length, closed.length, job.start_time], [1, 0, iso(0)]);
});

test('… returns with no job or another: the old one ended at last seen + time left, estimated', () => {
  /** @type {[number, any][]} */
  const vanished = [[0, printing('1', 0, { time_left_seconds: 1000 })], [30, gone]];
  const how = ({ status, end_time, estimated }) => [status, end_time, estimated];
  const none = play([...vanished, [7200, idle], [7230, idle]]);
  assert.deepEqual(how(none.closed[0]), ['unknown', iso(1000), true]);
  assert.equal(none.closed[0].latest_end, iso(7200));
  const other = play([...vanished, [7200, printing('2', 60)]]);
  assert.deepEqual([other.closed[0].end_time, other.rows.length, other.job.start_time], [iso(1000), 2, iso(7140)]);
  const done = play([...vanished, [7200, finished('1', 1100)]]);
  assert.deepEqual(how(done.closed[0]), ['done', iso(1100), true]);
});

test('after a day without an answer the job is closed as unknown', () => {
  const { closed } = play([[0, printing('1', 0, { time_left_seconds: 60 })], [86_000, gone], [86_500, gone]]);
  assert.equal(closed.length, 1);
  assert.deepEqual([closed[0].at, closed[0].status, closed[0].end_time], [86_500, 'unknown', iso(60)]);
});

test('an error closes the job; an error without a job opens none', () => {
  const broken = play([[0, printing('1', 0)], [30, { state: 'error', state_text: 'MINTEMP' }]]);
  assert.equal(broken.closed[0].status_reason, 'MINTEMP');
  assert.equal(play([[0, idle], [30, { state: 'error' }]]).rows.length, 0);
});

test('a job that was never seen running: recorded between two looks, not after a start', () => {
  const between = play([[0, idle], [120, finished('7', 100)]]);
  assert.deepEqual(between.actions.map((a) => a.type), ['open', 'close']);
  const [row] = between.rows;
  near(row.start_time, 10, 10);
  assert.equal(Date.parse(row.end_time) - Date.parse(row.start_time), 100_000);
  assert.equal(play([[0, finished('7', 100)], [30, finished('7', 100)]]).rows.length, 0, 'came up after');
  assert.equal(play([[0, idle], [30, finished('7', 5000)]]).rows.length, 0, 'too long for the time between');
});

test('a finished job that stays on the display is one job, also after a restart of ours', () => {
  const shown = play([
    [0, idle], [30, printing('1', 20)], [60, finished('1', 50)], [90, finished('1', 50)], [120, idle],
    [150, finished('1', 50)],
  ]);
  assert.equal(shown.rows.length, 1);
  const stored = { state: 'finished', source_job_id: '1', status_at: iso(270) };
  const restarted = play([[300, finished('1', 50)]], { job: null, previous: stored });
  assert.equal(restarted.rows.length, 0);
  const byFile = { state: 'finished', filename: 'a.gcode', elapsed_seconds: 50, job_outcome: 'done' };
  assert.equal(play([[0, idle], [30, noId(20)], [60, byFile], [90, byFile]]).rows.length, 1);
});

test('the open job read back from the database continues after a restart', () => {
  const before = play([[0, printing('1', 0)], [30, printing('1', 30)]]);
  // As devices_to_poll() has it: print_elapsed_s is the age of the job, of which the printer counts less.
  const stored = { ...before.job, print_elapsed_s: 300 };
  delete stored.elapsed_seconds;
  delete stored.silent_since;
  const previous = { state: 'printing', status_at: iso(30) };
  const after = play([[90, printing('1', 90)], [120, finished('1', 110)]], { job: stored, previous });
  assert.deepEqual([after.rows.length, after.closed.length, after.closed[0].job_id], [0, 1, stored.job_id]);
});

test('the same file printed unseen a second time is a second job; what stays on the display is not', () => {
  const shown = (elapsed_seconds) =>
    ({ state: 'finished', filename: 'a.gcode', elapsed_seconds, job_outcome: 'done' });
  const { rows } = play([
    [0, idle], [30, noId(20)], [60, shown(45)], [90, shown(45)], [200, shown(52)], [230, shown(52)],
  ]);
  const lengths = rows.map((row) => [row.status, (Date.parse(row.end_time) - Date.parse(row.start_time)) / 1000]);
  assert.deepEqual(lengths, [['done', 45], ['done', 52]]);
});

test('heating with a job belongs to the job', () => {
  const heating = { state: 'heating', is_printing: true, source_job_id: '1', elapsed_seconds: 5 };
  assert.equal(play([[0, idle], [30, heating]]).job.start_time, iso(25));
});

// --- Random lives of a printer ---------------------------------------------------------------------------------------

/** Real prints of one printer, in seconds, with pauses; and what it says at a given time. */
function life(random, withIds) {
  const prints = [];
  let t = 100 + random() * 200;
  for (let n = 1; n <= 6; n += 1) {
    const length = 100 + random() * 2000;
    const pauseAt = random() < 0.3 ? random() * length : null;
    const pause = pauseAt === null ? 0 : 60 + random() * 600;
    const outcome = ['done', 'done', 'cancelled', 'error'][Math.floor(random() * 4)];
    // What was stopped had more to do.
    const planned = outcome === 'done' ? length : length / (0.3 + random() * 0.4) + 100;
    prints.push({ id: String(n), start: t, length, planned, pauseAt, pause, outcome, end: t + length + pause });
    t += length + pause + (random() < 0.3 ? 0 : 60 + random() * 900);
  }
  const elapsedOf = ({ length, pauseAt, pause }, ran) => {
    if (pauseAt === null || ran <= pauseAt) return Math.min(length, ran);
    return Math.min(length, ran < pauseAt + pause ? pauseAt : ran - pause);
  };
  const say = (s) => {
    const current = prints.findLast((print) => print.start <= s);
    if (current === undefined) return idle;
    const { id, start, end, planned, pauseAt, pause, outcome } = current;
    const ran = s - start;
    const elapsed = elapsedOf(current, ran);
    const shared = {
      ...(withIds ? { source_job_id: id, filename: 'part.gcode' } : { filename: `part${id}.gcode` }),
      elapsed_seconds: elapsed, progress_percent: (elapsed / planned) * 100, time_left_seconds: planned - elapsed,
    };
    if (s >= end) return { state: outcome === 'done' ? 'finished' : outcome, ...shared, job_outcome: outcome };
    const inPause = pauseAt !== null && ran > pauseAt && ran < pauseAt + pause;
    return inPause
      ? { state: 'paused', is_paused: true, ...shared }
      : { state: 'printing', is_printing: true, ...shared };
  };
  return { prints, say, until: t + 200 };
}

/** Plays looks as play() does; in addition each is looked at twice, and there is never more than one open job. */
function playTwice(looks, seed) {
  /** @type {any} */
  let job = null;
  /** @type {any} */
  let previous = null;
  let open = 0;
  /** @type {any[]} */
  const rows = [];
  for (const [s, said] of looks) {
    const observed = said instanceof Error ? said : { timestamp: iso(s), job_outcome: null, ...said };
    const turn = step(device, job, previous, observed, at(s));
    if (seed % 10 === 0) assert.deepEqual(step(device, job, previous, observed, at(s)), turn, 'pure');
    const again = step(device, turn.job, turn.previous, observed, at(s));
    const nothing = again.actions.every((a) => a.type === 'progress');
    assert.ok(nothing, `seed ${seed} at ${s}: a repeated look must not open or close`);
    for (const action of turn.actions) {
      if (action.type === 'open') {
        rows.push({ ...action.job });
        open += 1;
      } else if (action.type === 'close') {
        Object.assign(rows.at(-1), action);
        open -= 1;
      }
      assert.ok(open === 0 || open === 1, `seed ${seed}: ${open} open jobs`);
    }
    ({ job, previous } = turn);
  }
  return rows;
}

for (const ids of ['with', 'without']) {
  test(`random lives, ${ids} ids: every print is one job with its outcome and times`, () => {
    for (let seed = 1; seed <= 80; seed += 1) {
      const random = dice(seed);
      const { prints, say, until } = life(random, ids === 'with');
      const looks = [];
      for (let s = 0; s < until; s += 30) looks.push([s, random() < 0.15 ? gone : say(s)]);
      looks.push([until, say(until)]);

      const rows = playTwice(looks, seed);
      assert.equal(rows.length, prints.length, `seed ${seed}: jobs found`);
      rows.forEach((row, n) => {
        const real = prints[n];
        const next = prints[n + 1]?.start ?? Infinity;
        const endSeen = looks.some(([s, said]) => said !== gone && s >= real.end && s < next);
        const expected = endSeen ? [real.outcome] : real.outcome === 'done' ? ['done', 'unknown'] : ['unknown'];
        assert.ok(expected.includes(row.status), `seed ${seed} print ${n + 1}: ${row.status} instead of ${expected}`);
        // A look is missed with 15 %: the edges are known within a few polls, plus half a poll at each end of a pause.
        near(row.start_time, real.start, 250);
        near(row.end_time, real.end, 250);
        assert.ok(n === 0 || row.start_time >= rows[n - 1].end_time, `seed ${seed}: jobs overlap`);
        assert.ok(row.end_time >= row.start_time);
        const length = (Date.parse(row.end_time) - Date.parse(row.start_time)) / 1000;
        assert.ok(row.paused_seconds >= 0 && row.paused_seconds <= length);
      });
      assert.equal(new Set(rows.map((row) => row.job_id)).size, rows.length);
    }
  });
}
