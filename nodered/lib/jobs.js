'use strict';
// The life of a print: from one status to the next, which job began, continued or ended. Pure: no clock, no I/O, no
// chance.

/** @import { Ended, Job, JobAction, JobEvent, JobFields, JobStatus } from './types' */
/** @import { Look, OpenJob, Outcome, Previous, Step } from './types' */

const crypto = require('node:crypto');

/** @type {Set<string | null | undefined>} */
const ACTIVE = new Set(['printing', 'heating', 'paused', 'attention']);
/** @type {Set<string | null | undefined>} */
const NOTHING_KNOWN = new Set(['offline', 'unknown']);
const DAY_MS = 24 * 3600 * 1000;
// A printing time may be rounded or corrected by a few seconds; more means that it began again.
const ELAPSED_SLACK_S = 10;
const UNCOUNTED_S = 900;
const PROGRESS_SLACK = 5;
const DONE_PERCENT = 99;

/**
 * One call of step(): what it works on, and what it has found so far. Times are milliseconds since 1970.
 * @typedef {object} Turn
 * @property {string} deviceId
 * @property {number} at  now
 * @property {number} interval  between two looks
 * @property {Previous | null} previous
 * @property {Job | null} job  that is open
 * @property {Ended | null} ended  the last that is over
 * @property {JobAction[]} actions
 * @property {JobEvent[]} events
 *
 * @typedef {Pick<OpenJob, 'source_job_id' | 'filename' | 'elapsed_seconds' | 'print_elapsed_s' | 'progress_percent'>}
 *   Known
 */

/** @param {string | number | Date} time */
const ms = (time) => (typeof time === 'number' ? time : new Date(time).getTime());
/** @param {number} time */
const iso = (time) => new Date(time).toISOString();
/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

/**
 * From one look at a printer to what must be done to its prints.
 * @param {{device_id: string, data_interval_seconds?: number | null}} device
 * @param {OpenJob | null} openJob   the open row of print_jobs (from the database or from the last step)
 * @param {Previous | null} previous  what the last step returned as `previous`; after a start the row of device_latest,
 *   or null
 * @param {Look | Error} observed  a status, or the PollError that came instead
 * @param {number | Date | string} now  when it was observed
 * @returns {Step} its actions are in order
 */
function step(device, openJob, previous, observed, now) {
  /** @type {Turn} */
  const turn = {
    deviceId: device.device_id, at: ms(now), actions: [], events: [], previous,
    interval: (device.data_interval_seconds ?? 30) * 1000,
    job: openJob ? { ...openJob, device_id: device.device_id } : null,
    ended: previous?.last_ended ?? null,
  };
  const { actions, events } = turn;
  if (observed instanceof Error || NOTHING_KNOWN.has(observed.state)) {
    if (turn.job !== null) vanished(turn, turn.job);
    return { job: turn.job, actions, events, previous };
  }
  if (turn.job !== null) follow(turn, turn.job, observed);
  if (turn.job === null) begin(turn, observed);
  return { job: turn.job, actions, events, previous: { ...observed, last_ended: turn.ended } };
}

/**
 * No answer, or one without a state: the print may well continue. Only a day of silence ends it.
 * @param {Turn} turn
 * @param {Job} job
 */
function vanished(turn, job) {
  if (turn.at - ms(job.last_seen) <= DAY_MS) return;
  const reason = 'the printer was not seen for 24 hours';
  close(turn, job, { end: expectedEnd(turn, job), status: 'unknown', reason, estimated: true });
}

/**
 * What the status means for the open job.
 * @param {Turn} turn
 * @param {Job} job
 * @param {Look} status
 */
function follow(turn, job, status) {
  const active = isActive(status);
  const same = isSame(job, status) && !beganLater(job, status, turn.at);
  if (active && same) progress(turn, job, status);
  else if (status.job_outcome && same) finish(turn, job, status, status.job_outcome);
  else if ((active && hasJob(status)) || status.job_outcome) replaced(turn, job, status);
  else if (status.state === 'error') {
    const reason = status.state_text ?? 'the printer reports an error';
    close(turn, job, { end: turn.at, status: 'error', reason, estimated: isGap(turn, job) });
  } else if (!status.is_busy) silent(turn, job, status);
}

/** @param {Look} status */
const isActive = (status) => ACTIVE.has(status.state) && !status.job_outcome;

/**
 * Something that can be a print: an id, a file, or at least the printer's own word that it prints.
 * @param {Look} status
 */
const hasJob = (status) =>
  Boolean(status.source_job_id ?? status.filename) || (status.state === 'printing' && status.is_busy !== true);

/**
 * By the id where both have one, otherwise by the file; and only if its time and progress have not fallen back.
 * @param {Known} job
 * @param {Look} status
 */
function isSame(job, status) {
  if (job.source_job_id && status.source_job_id) {
    if (String(job.source_job_id) !== String(status.source_job_id)) return false;
  } else if (job.filename && status.filename && job.filename !== status.filename) return false;
  return !beganAgain(job, status);
}

/**
 * A source may use an id (or a file) again: then its printing time or progress has fallen back.
 * @param {Known} job
 * @param {Look} status
 */
function beganAgain(job, status) {
  if (status.elapsed_seconds != null) {
    if (job.elapsed_seconds != null) return status.elapsed_seconds < job.elapsed_seconds - ELAPSED_SLACK_S;
    // The database only knows the age of the job (print_elapsed_s), of which the printer may not have counted heating
    // and short pauses.
    if (status.elapsed_seconds < (job.print_elapsed_s ?? 0) - UNCOUNTED_S) return true;
  }
  return job.progress_percent != null && status.progress_percent != null && !status.job_outcome
    && status.progress_percent < job.progress_percent - PROGRESS_SLACK;
}

/**
 * Without an id: the same file printed once more while nobody looked began after the old print's end.
 * @param {Job} job
 * @param {Look} status
 * @param {number} at
 */
function beganLater(job, status, at) {
  if (status.source_job_id || job.status === 'paused') return false;
  if (status.elapsed_seconds == null || job.time_left_seconds == null) return false;
  return at - status.elapsed_seconds * 1000 > ms(job.last_seen) + job.time_left_seconds * 1000 + 60_000;
}

/** @param {Look} status */
const isPaused = (status) =>
  status.is_paused === true || status.state === 'paused'
    || (status.state === 'attention' && status.is_printing !== true);

/**
 * More than three missed polls: what happened meanwhile is not known from looking.
 * @param {Turn} turn
 * @param {JobFields} job
 */
const isGap = (turn, job) => turn.at - ms(job.last_seen) > Math.max(3 * turn.interval, 90_000);

/**
 * Where the old print ended by its own forecast, between when it was last seen and now.
 * @param {Turn} turn
 * @param {JobFields} job
 */
function expectedEnd(turn, job) {
  const seen = ms(job.last_seen);
  return clamp(seen + (job.time_left_seconds ?? 0) * 1000, seen, turn.at);
}

/**
 * The print continues.
 * @param {Turn} turn
 * @param {Job} job
 * @param {Look} status
 */
function progress(turn, job, status) {
  const paused = isPaused(status);
  const seen = {
    ...job,
    source_job_id: job.source_job_id ?? status.source_job_id ?? null,
    simplyprint_job_id: job.simplyprint_job_id ?? status.simplyprint_job_id ?? null,
    filename: job.filename ?? status.filename ?? null,
    status: paused ? /** @type {const} */ ('paused') : /** @type {const} */ ('printing'),
    paused_seconds: pausedSeconds(turn, job, turn.at, paused),
    last_seen: iso(Math.max(turn.at, ms(job.last_seen))),
    silent_since: null,
    ...measured(job, status),
    time_left_seconds: status.time_left_seconds ?? null,
  };
  turn.job = seen;
  turn.actions.push({ type: 'progress', job_id: job.job_id, ...shared(seen) });
}

/**
 * What the source reports about a print; what it leaves out stays as it was.
 * @param {Partial<Job>} job
 * @param {Look} status
 */
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

/**
 * The columns that the actions `progress` and `close` carry.
 * @param {JobFields} job
 * @returns {JobFields}
 */
function shared({
  source_job_id, simplyprint_job_id, filename, status, last_seen, progress_percent, time_left_seconds, paused_seconds,
  material, filament_used_mm, filament_used_g, download_ref,
}) {
  return {
    source_job_id, simplyprint_job_id, filename, status, last_seen, progress_percent, time_left_seconds, paused_seconds,
    material, filament_used_mm, filament_used_g, download_ref,
  };
}

/**
 * Paused time up to `until`. Between two looks of which one was paused, half is counted; over a gap only what both ends
 * agree on.
 * @param {Turn} turn
 * @param {Job} job
 * @param {number} until
 * @param {boolean} pausedNow
 */
function pausedSeconds(turn, job, until, pausedNow) {
  const before = job.paused_seconds ?? 0;
  const seconds = Math.max(0, until - ms(job.last_seen)) / 1000;
  const wasPaused = job.status === 'paused';
  if (wasPaused && pausedNow) return before + seconds;
  return wasPaused === pausedNow || isGap(turn, job) ? before : before + seconds / 2;
}

/**
 * The source says how this very job ended.
 * @param {Turn} turn
 * @param {Job} job
 * @param {Look} status
 * @param {Outcome} outcome
 */
function finish(turn, job, status, outcome) {
  let end = turn.at;
  const ran = status.elapsed_seconds != null && job.elapsed_seconds != null
    ? (status.elapsed_seconds - job.elapsed_seconds) * 1000
    : null;
  if (ran !== null && ran >= 0 && job.status !== 'paused') end = ms(job.last_seen) + ran;
  else if (outcome === 'done' && job.time_left_seconds != null) end = expectedEnd(turn, job);
  const told = { ...job, ...measured(job, status) };
  if (outcome === 'done') told.progress_percent = 100;
  const reason = outcome === 'error' ? status.state_text : null;
  close(turn, told, { end, status: outcome, reason, estimated: isGap(turn, job) });
}

/**
 * The source talks about another job: ours ended before that one began.
 * @param {Turn} turn
 * @param {Job} job
 * @param {Look} status
 */
function replaced(turn, job, status) {
  const began = status.elapsed_seconds == null ? turn.at : turn.at - status.elapsed_seconds * 1000;
  const latest = clamp(Math.min(began, silentSince(turn, job)), ms(job.last_seen), turn.at);
  conclude(turn, job, status, latest, 'another job began');
}

/**
 * The source no longer speaks of a job. One such look may be a hiccup, so an end that would be `unknown` waits for a
 * second.
 * @param {Turn} turn
 * @param {Job} job
 * @param {Look} status
 */
function silent(turn, job, status) {
  const latest = Math.min(turn.at, silentSince(turn, job));
  const settled = outcomeInHistory(job, status) !== null || wasNearlyDone(turn, job) || job.silent_since;
  if (settled) conclude(turn, job, status, latest, 'the printer fell silent about its job');
  else if (status.silence_means && !isGap(turn, job)) {
    const reason = 'the printer stopped before the end of the file';
    close(turn, job, { end: latest, status: status.silence_means, reason, estimated: false });
  } else turn.job = { ...job, silent_since: iso(turn.at) };
}

/**
 * @param {Turn} turn
 * @param {Job} job
 */
const silentSince = (turn, job) => (job.silent_since ? ms(job.silent_since) : turn.at);

/**
 * The job is over, and nobody has said when: at `latest` at the latest.
 * @param {Turn} turn
 * @param {Job} job
 * @param {Look} status
 * @param {number} latest
 * @param {string} reason
 */
function conclude(turn, job, status, latest, reason) {
  const told = outcomeInHistory(job, status);
  const nearly = wasNearlyDone(turn, job);
  const gap = isGap(turn, job);
  const end = gap || nearly || told === 'done' ? Math.min(expectedEnd(turn, job), latest) : latest;
  const outcome = told ?? (nearly ? 'done' : 'unknown');
  const estimated = gap || outcome === 'unknown';
  close(turn, job, { end, latest, status: outcome, reason: outcome === 'done' ? null : reason, estimated });
}

/**
 * What the source's list of past jobs says about ours.
 * @param {Job} job
 * @param {Look} status
 */
function outcomeInHistory(job, status) {
  if (!job.source_job_id) return null;
  const id = String(job.source_job_id);
  return status.recent_jobs?.find((past) => past.source_job_id === id)?.outcome ?? null;
}

/**
 * @param {Turn} turn
 * @param {Job} job
 */
function wasNearlyDone({ interval }, job) {
  if ((job.progress_percent ?? 0) >= DONE_PERCENT) return true;
  return job.time_left_seconds != null && job.time_left_seconds * 1000 <= 1.5 * interval;
}

/**
 * @param {Turn} turn
 * @param {Job} job
 * @param {{end: number, latest?: number, status: JobStatus, reason?: string | null, estimated: boolean}} how  the job
 *   was over at `end`, at the latest at `latest`
 */
function close(turn, job, { end, latest = turn.at, status, reason = null, estimated }) {
  const start = ms(job.start_time);
  const ended = Math.max(Math.min(end, turn.at), start);
  const end_time = iso(ended);
  turn.actions.push({
    type: 'close', job_id: job.job_id, ...shared(job), status, time_left_seconds: null,
    paused_seconds: Math.min(pausedSeconds(turn, job, ended, job.status === 'paused'), (ended - start) / 1000),
    end_time, status_reason: reason, estimated, latest_end: iso(Math.max(latest, ended)),
  });
  const filename = job.filename ?? null;
  turn.events.push({ type: 'job_ended', device_id: turn.deviceId, job_id: job.job_id, status, end_time, filename });
  turn.ended = {
    source_job_id: job.source_job_id ?? null, filename, end_time, status,
    progress_percent: job.progress_percent ?? null, elapsed_seconds: job.elapsed_seconds ?? null,
  };
  turn.job = null;
}

/**
 * No job is open: does the status begin one, or has one come and gone?
 * @param {Turn} turn
 * @param {Look} status
 */
function begin(turn, status) {
  const { previous } = turn;
  if (isActive(status) && hasJob(status)) {
    if (!isTail(turn, status)) open(turn, status, startOf(turn, status), turn.at);
  } else if (status.job_outcome && previous && ranUnseen(turn, previous, status)) {
    recordUnseen(turn, previous, status, status.job_outcome);
  }
}

/**
 * A print that was closed as done at 99 % and shows itself once more is not a new one.
 * @param {Turn} turn
 * @param {Look} status
 */
function isTail({ ended }, status) {
  if (ended === null || ended.status !== 'done' || !isSame(ended, status)) return false;
  return (status.progress_percent ?? 0) >= DONE_PERCENT;
}

/**
 * The printer's own elapsed time sets the start when we come late; but not to before it was last seen without a job.
 * @param {Turn} turn
 * @param {Look} status
 */
function startOf(turn, status) {
  const began = turn.at - (status.elapsed_seconds ?? 0) * 1000;
  return clamp(began, earliestStart(turn), turn.at);
}

/** @param {Turn} turn */
function earliestStart({ previous, ended }) {
  const isFree = previous && !ACTIVE.has(previous.state) && !NOTHING_KNOWN.has(previous.state);
  return Math.max(isFree ? timeOf(previous) : -Infinity, endOf(ended));
}

/**
 * A status has `timestamp`, a row of device_latest `status_at`.
 * @param {Previous} previous
 */
function timeOf(previous) {
  const time = previous.timestamp ?? previous.status_at;
  return time == null ? -Infinity : ms(time);
}

/** @param {Ended | null} ended */
const endOf = (ended) => (ended === null ? -Infinity : ms(ended.end_time));

/**
 * @param {Turn} turn
 * @param {Look} status
 * @param {number} start
 * @param {number} seen
 * @returns {Job} also the open job of the turn
 */
function open(turn, status, start, seen) {
  const device_id = turn.deviceId;
  const { elapsed_seconds, ...figures } = measured({}, status);
  const row = {
    job_id: jobId(device_id, start, status.source_job_id ?? status.filename ?? ''),
    device_id,
    source_job_id: status.source_job_id ?? null,
    simplyprint_job_id: status.simplyprint_job_id ?? null,
    filename: status.filename ?? null,
    start_time: iso(start),
    status: isPaused(status) ? /** @type {const} */ ('paused') : /** @type {const} */ ('printing'),
    paused_seconds: 0,
    last_seen: iso(seen),
    ...figures,
    time_left_seconds: status.time_left_seconds ?? null,
  };
  const { job_id, filename, download_ref } = row;
  turn.actions.push({ type: 'open', job: row });
  turn.events.push({ type: 'job_started', device_id, job_id, filename, download_ref });
  turn.job = { ...row, elapsed_seconds, silent_since: null };
  return turn.job;
}

/**
 * The same print always gets the same id (a UUID of version 8), so that a step can be done again without doubling it.
 * @param {string} deviceId
 * @param {number} start
 * @param {string} name
 */
function jobId(deviceId, start, name) {
  const hash = crypto.createHash('sha256').update(`${deviceId}\n${iso(start)}\n${name}`).digest();
  hash[6] = (hash[6] & 0x0f) | 0x80;
  hash[8] = (hash[8] & 0x3f) | 0x80;
  return hash.toString('hex', 0, 16).replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
}

/**
 * A job that is over and that no look has seen running: new since the last look, and short enough to fit in between.
 * @param {Turn} turn
 * @param {Previous} previous
 * @param {Look} status
 */
function ranUnseen(turn, previous, status) {
  const { ended, at } = turn;
  if (NOTHING_KNOWN.has(previous.state)) return false;
  const room = at - freeSince(previous, ended);
  if (room > DAY_MS || (status.elapsed_seconds ?? 0) > room / 1000 + ELAPSED_SLACK_S) return false;
  if (ended !== null && isSameEnd(ended, status)) return false;
  if (status.source_job_id) {
    return String(previous.source_job_id ?? '') !== status.source_job_id || turn.actions.length > 0;
  }
  // Without ids only a status of this run (not a database row, which keeps no outcome) can show that this end is new.
  return previous.job_outcome !== undefined && (previous.job_outcome === null || !isSameEnd(previous, status));
}

/**
 * @param {Known} past
 * @param {Look} status
 */
function isSameEnd(past, status) {
  const { elapsed_seconds: before } = past;
  const { elapsed_seconds: now } = status;
  const longer = before == null || now == null ? 0 : now - before;
  if (past.source_job_id && status.source_job_id) {
    return String(past.source_job_id) === status.source_job_id && longer >= -ELAPSED_SLACK_S;
  }
  return past.filename === status.filename && Math.abs(longer) <= 1;
}

/**
 * Since when a job that nobody saw can have run: the last look, or the end of the job before it.
 * @param {Previous} previous
 * @param {Ended | null} ended
 */
const freeSince = (previous, ended) => Math.max(timeOf(previous), endOf(ended));

/**
 * Opens and closes a job that nobody saw.
 * @param {Turn} turn
 * @param {Previous} previous
 * @param {Look} status
 * @param {Outcome} outcome
 */
function recordUnseen(turn, previous, status, outcome) {
  const room = Math.max(0, turn.at - freeSince(previous, turn.ended));
  const length = status.elapsed_seconds == null ? room : Math.min(status.elapsed_seconds * 1000, room);
  // Where in the room it lay is unknown: in the middle the error is smallest.
  const end = turn.at - (room - length) / 2;
  const job = open(turn, { ...status, time_left_seconds: null }, end - length, end);
  if (outcome === 'done') job.progress_percent = 100;
  const reason = outcome === 'error' ? status.state_text : null;
  close(turn, job, { end, status: outcome, reason, estimated: room - length > 1.5 * turn.interval });
}

module.exports = { step };
