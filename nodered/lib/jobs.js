'use strict';
// The life of a print (SPEC 5): from one status to the next, which job began, went on or ended. Pure: no clock, no I/O, no chance.

const crypto = require('node:crypto');

const ACTIVE = new Set(['printing', 'heating', 'paused', 'attention']);
const NOTHING_KNOWN = new Set(['offline', 'unknown']);
const DAY_MS = 24 * 3600 * 1000;
// A printing time may be rounded or corrected by a few seconds; more means that it began anew.
const ELAPSED_SLACK_S = 10;
const UNCOUNTED_S = 900;
const PROGRESS_SLACK = 5;
const DONE_PERCENT = 99;

const ms = (time) => (typeof time === 'number' ? time : new Date(time).getTime());
const iso = (time) => new Date(time).toISOString();
const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

/**
 * @param {{device_id: string, data_interval_seconds?: number}} device
 * @param {object|null} openJob   the open row of print_jobs (from the database or from the last step)
 * @param {object|null} previous  what the last step returned as `previous`; after a start the row of device_latest, or null
 * @param {object|Error} observed a status, or the PollError that came instead
 * @param {number|Date|string} now  when it was observed
 * @returns {{job: object|null, actions: object[], events: object[], previous: object|null}}
 *   actions in order: {type:'open', job}, {type:'progress', job_id, …}, {type:'close', job_id, end_time, status, status_reason, estimated, latest_end, …};
 *   events: {type:'job_started'|'job_ended', device_id, job_id, …}.
 */
function step(device, openJob, previous, observed, now) {
  const at = ms(now);
  const turn = {
    device, at, actions: [], events: [], previous,
    interval: (device.data_interval_seconds ?? 30) * 1000,
    job: openJob ? { ...openJob, device_id: device.device_id } : null,
    ended: previous?.last_ended ?? null,
  };
  if (observed instanceof Error || NOTHING_KNOWN.has(observed.state)) {
    vanished(turn);
    return { job: turn.job, actions: turn.actions, events: turn.events, previous };
  }
  if (turn.job !== null) follow(turn, observed);
  if (turn.job === null) begin(turn, observed);
  return { job: turn.job, actions: turn.actions, events: turn.events, previous: { ...observed, last_ended: turn.ended } };
}

/** No answer, or one without a state: the print may well go on. Only a day of silence ends it. */
function vanished(turn) {
  if (turn.job === null || turn.at - ms(turn.job.last_seen) <= DAY_MS) return;
  close(turn, { end: expectedEnd(turn), status: 'unknown', reason: 'the printer was not seen for 24 hours', estimated: true });
}

function follow(turn, status) {
  const { job } = turn;
  const active = isActive(status);
  const same = isSame(job, status, turn.at);
  if (active && same) progress(turn, status);
  else if (status.job_outcome && same) finish(turn, status);
  else if ((active && hasJob(status)) || status.job_outcome) replaced(turn, status);
  else if (status.state === 'error') {
    close(turn, { end: turn.at, status: 'error', reason: status.state_text ?? 'the printer reports an error', estimated: isGap(turn) });
  } else if (!status.is_busy) silent(turn, status);
}

const isActive = (status) => ACTIVE.has(status.state) && !status.job_outcome;

/** Something that can be a print: an id, a file, or at least the printer's own word that it prints. */
const hasJob = (status) => Boolean(status.source_job_id ?? status.filename) || (status.state === 'printing' && status.is_busy !== true);

function isSame(job, status, at) {
  if (job.source_job_id && status.source_job_id) {
    return String(job.source_job_id) === String(status.source_job_id) && !beganAnew(job, status);
  }
  if (job.filename && status.filename && job.filename !== status.filename) return false;
  return !beganAnew(job, status) && !beganLater(job, status, at);
}

/** A source may use an id (or a file) again: then its printing time or progress has fallen back. */
function beganAnew(job, status) {
  if (status.elapsed_seconds != null) {
    if (job.elapsed_seconds != null) return status.elapsed_seconds < job.elapsed_seconds - ELAPSED_SLACK_S;
    // The database only knows the age of the job (print_elapsed_s), of which the printer may not have counted heating and short pauses.
    if (status.elapsed_seconds < (job.print_elapsed_s ?? 0) - UNCOUNTED_S) return true;
  }
  return job.progress_percent != null && status.progress_percent != null && !status.job_outcome
    && status.progress_percent < job.progress_percent - PROGRESS_SLACK;
}

/** Without an id: the same file printed once more while nobody looked began after the old print's end. */
function beganLater(job, status, at) {
  if (status.source_job_id || job.status === 'paused' || status.elapsed_seconds == null || job.time_left_seconds == null) return false;
  return at - status.elapsed_seconds * 1000 > ms(job.last_seen) + job.time_left_seconds * 1000 + 60_000;
}

const isPaused = (status) => status.is_paused === true || status.state === 'paused' || (status.state === 'attention' && status.is_printing !== true);

/** More than three missed polls: what happened meanwhile is not known from looking. */
const isGap = (turn) => turn.at - ms(turn.job.last_seen) > Math.max(3 * turn.interval, 90_000);

/** Where the old print ended by its own forecast, between when it was last seen and now. */
function expectedEnd(turn) {
  const seen = ms(turn.job.last_seen);
  return clamp(seen + (turn.job.time_left_seconds ?? 0) * 1000, seen, turn.at);
}

function progress(turn, status) {
  const { job } = turn;
  const paused = isPaused(status);
  turn.job = {
    ...job,
    source_job_id: job.source_job_id ?? status.source_job_id ?? null,
    simplyprint_job_id: job.simplyprint_job_id ?? status.simplyprint_job_id ?? null,
    filename: job.filename ?? status.filename ?? null,
    status: paused ? 'paused' : 'printing',
    paused_seconds: pausedSeconds(turn, turn.at, paused),
    last_seen: iso(Math.max(turn.at, ms(job.last_seen))),
    silent_since: null,
    ...measured(job, status),
    time_left_seconds: status.time_left_seconds ?? null,
  };
  turn.actions.push({ type: 'progress', job_id: job.job_id, ...shared(turn.job) });
}

/** What the source tells about a print; what it leaves out stays as it was. */
function measured(job, status) {
  return {
    progress_percent: status.progress_percent ?? job.progress_percent ?? null,
    elapsed_seconds: status.elapsed_seconds ?? job.elapsed_seconds ?? null,
    material: status.material ?? job.material ?? null,
    filament_used_mm: status.filament_used_mm ?? job.filament_used_mm ?? null,
    filament_used_g: status.filament_used_g ?? job.filament_used_g ?? null,
    download_ref: status.download_ref ?? job.download_ref ?? null,
  };
}

function shared(job) {
  const { source_job_id, simplyprint_job_id, filename, status, last_seen, progress_percent, time_left_seconds, paused_seconds,
    material, filament_used_mm, filament_used_g, download_ref } = job;
  return { source_job_id, simplyprint_job_id, filename, status, last_seen, progress_percent, time_left_seconds, paused_seconds,
    material, filament_used_mm, filament_used_g, download_ref };
}

/** Paused time up to `until`. Between two looks of which one was paused, half is counted; over a gap only what both ends agree on. */
function pausedSeconds(turn, until, pausedNow) {
  const { job } = turn;
  const before = job.paused_seconds ?? 0;
  const seconds = Math.max(0, until - ms(job.last_seen)) / 1000;
  const wasPaused = job.status === 'paused';
  if (wasPaused && pausedNow) return before + seconds;
  return wasPaused === pausedNow || isGap(turn) ? before : before + seconds / 2;
}

/** The source says how this very job ended. */
function finish(turn, status) {
  const { job, at } = turn;
  const seen = ms(job.last_seen);
  const outcome = status.job_outcome;
  let end = at;
  const ran = status.elapsed_seconds != null && job.elapsed_seconds != null ? (status.elapsed_seconds - job.elapsed_seconds) * 1000 : null;
  if (ran !== null && ran >= 0 && job.status !== 'paused') end = seen + ran;
  else if (outcome === 'done' && job.time_left_seconds != null) end = expectedEnd(turn);
  turn.job = { ...job, ...measured(job, status), progress_percent: outcome === 'done' ? 100 : status.progress_percent ?? job.progress_percent ?? null };
  close(turn, { end, status: outcome, reason: outcome === 'error' ? status.state_text : null, estimated: isGap(turn) });
}

/** The source talks about another job: ours ended before that one began. */
function replaced(turn, status) {
  const began = status.elapsed_seconds == null ? turn.at : turn.at - status.elapsed_seconds * 1000;
  conclude(turn, status, clamp(Math.min(began, silentSince(turn)), ms(turn.job.last_seen), turn.at), 'another job began');
}

/** The source no longer speaks of a job. One such answer may be a hiccup, so an end that would be `unknown` waits for a second. */
function silent(turn, status) {
  const latest = Math.min(turn.at, silentSince(turn));
  const settled = outcomeInHistory(turn.job, status) !== null || wasNearlyDone(turn) || turn.job.silent_since;
  if (settled) conclude(turn, status, latest, 'the printer fell silent about its job');
  else if (status.silence_means && !isGap(turn)) {
    close(turn, { end: latest, status: status.silence_means, reason: 'the printer stopped before the end of the file', estimated: false });
  } else turn.job = { ...turn.job, silent_since: iso(turn.at) };
}

const silentSince = (turn) => (turn.job.silent_since ? ms(turn.job.silent_since) : turn.at);

function conclude(turn, status, latest, reason) {
  const told = outcomeInHistory(turn.job, status);
  const nearly = wasNearlyDone(turn);
  const gap = isGap(turn);
  const end = gap || nearly || told === 'done' ? Math.min(expectedEnd(turn), latest) : latest;
  const outcome = told ?? (nearly ? 'done' : 'unknown');
  close(turn, { end, latest, status: outcome, reason: outcome === 'done' ? null : reason, estimated: gap || outcome === 'unknown' });
}

/** What the source's list of past jobs says about ours, or null. */
function outcomeInHistory(job, status) {
  const found = status.recent_jobs?.find((past) => job.source_job_id && past.source_job_id === String(job.source_job_id));
  return found?.outcome ?? null;
}

function wasNearlyDone({ job, interval }) {
  return job.progress_percent >= DONE_PERCENT || (job.time_left_seconds != null && job.time_left_seconds * 1000 <= 1.5 * interval);
}

function close(turn, { end, latest = turn.at, status, reason = null, estimated }) {
  const { job, device } = turn;
  const start = ms(job.start_time);
  const ended = Math.max(Math.min(end, turn.at), start);
  const closed = {
    ...shared(job), status, last_seen: job.last_seen, time_left_seconds: null,
    paused_seconds: Math.min(pausedSeconds(turn, ended, job.status === 'paused'), (ended - start) / 1000),
  };
  turn.actions.push({
    type: 'close', job_id: job.job_id, ...closed, end_time: iso(ended), status_reason: reason, estimated, latest_end: iso(Math.max(latest, ended)),
  });
  turn.events.push({ type: 'job_ended', device_id: device.device_id, job_id: job.job_id, status, end_time: iso(ended), filename: job.filename ?? null });
  turn.ended = {
    source_job_id: job.source_job_id ?? null, filename: job.filename ?? null, end_time: iso(ended), status,
    progress_percent: job.progress_percent ?? null, elapsed_seconds: job.elapsed_seconds ?? null,
  };
  turn.job = null;
}

function begin(turn, status) {
  if (isActive(status) && hasJob(status)) {
    if (!isTail(turn, status)) open(turn, status, startOf(turn, status), turn.at);
  } else if (status.job_outcome && ranUnseen(turn, status)) recordUnseen(turn, status);
}

/** A print that was closed as done at 99 % and shows itself once more is not a new one. */
function isTail(turn, status) {
  const { ended } = turn;
  if (ended === null || ended.status !== 'done' || !isSame(ended, status, turn.at)) return false;
  return status.progress_percent >= DONE_PERCENT;
}

/** The printer's own elapsed time sets the start when we come late; but not to before a moment when it was seen without a job. */
function startOf(turn, status) {
  const began = turn.at - (status.elapsed_seconds ?? 0) * 1000;
  return clamp(began, earliestStart(turn), turn.at);
}

function earliestStart(turn) {
  const before = turn.previous;
  const seenWithout = before && !ACTIVE.has(before.state) && !NOTHING_KNOWN.has(before.state) ? timeOf(before) : -Infinity;
  const lastEnd = turn.ended === null ? -Infinity : ms(turn.ended.end_time);
  return Math.max(seenWithout, lastEnd);
}

/** A status has `timestamp`, a row of device_latest `status_at`. */
function timeOf(previous) {
  const time = previous.timestamp ?? previous.status_at;
  return time == null ? -Infinity : ms(time);
}

function open(turn, status, start, seen) {
  const { device } = turn;
  const job = {
    job_id: jobId(device.device_id, start, status.source_job_id ?? status.filename ?? ''),
    device_id: device.device_id,
    source_job_id: status.source_job_id ?? null,
    simplyprint_job_id: status.simplyprint_job_id ?? null,
    filename: status.filename ?? null,
    start_time: iso(start),
    status: isPaused(status) ? 'paused' : 'printing',
    paused_seconds: 0,
    last_seen: iso(seen),
    silent_since: null,
    ...measured({}, status),
    time_left_seconds: status.time_left_seconds ?? null,
  };
  turn.job = job;
  const { silent_since: _, elapsed_seconds: __, ...row } = job;
  turn.actions.push({ type: 'open', job: row });
  turn.events.push({ type: 'job_started', device_id: device.device_id, job_id: job.job_id, filename: job.filename, download_ref: job.download_ref });
}

/** The same print always gets the same id (a UUID of version 8), so that a step can be done again without doubling it. */
function jobId(deviceId, start, name) {
  const hash = crypto.createHash('sha256').update(`${deviceId}\n${iso(start)}\n${name}`).digest();
  hash[6] = (hash[6] & 0x0f) | 0x80;
  hash[8] = (hash[8] & 0x3f) | 0x80;
  return hash.toString('hex', 0, 16).replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
}

/** A job that is over and that no look has seen running: new since the last look, and short enough to fit in between. */
function ranUnseen(turn, status) {
  const { previous, ended, at } = turn;
  if (!previous || NOTHING_KNOWN.has(previous.state)) return false;
  const room = at - freeSince(turn);
  if (room > DAY_MS || (status.elapsed_seconds ?? 0) > room / 1000 + ELAPSED_SLACK_S) return false;
  if (ended !== null && isSameEnd(ended, status)) return false;
  if (status.source_job_id) return String(previous.source_job_id ?? '') !== status.source_job_id || turn.actions.length > 0;
  // Without ids only a status of this run (not a database row, which keeps no outcome) can show that this end is new.
  return previous.job_outcome !== undefined && (previous.job_outcome === null || !isSameEnd(previous, status));
}

function isSameEnd(past, status) {
  const longer = past.elapsed_seconds == null || status.elapsed_seconds == null ? 0 : status.elapsed_seconds - past.elapsed_seconds;
  if (past.source_job_id && status.source_job_id) return String(past.source_job_id) === status.source_job_id && longer >= -ELAPSED_SLACK_S;
  return past.filename === status.filename && Math.abs(longer) <= 1;
}

/** Since when a job that nobody saw can have run: the last look, or the end of the job before it. */
function freeSince({ previous, ended }) {
  return Math.max(timeOf(previous), ended === null ? -Infinity : ms(ended.end_time));
}

function recordUnseen(turn, status) {
  const room = Math.max(0, turn.at - freeSince(turn));
  const length = status.elapsed_seconds == null ? room : Math.min(status.elapsed_seconds * 1000, room);
  // Where in the room it lay is unknown: in the middle the error is smallest.
  const end = turn.at - (room - length) / 2;
  open(turn, { ...status, time_left_seconds: null }, end - length, end);
  turn.job.progress_percent = status.job_outcome === 'done' ? 100 : turn.job.progress_percent;
  const reason = status.job_outcome === 'error' ? status.state_text : null;
  close(turn, { end, status: status.job_outcome, reason, estimated: room - length > 1.5 * turn.interval });
}

module.exports = { step };
