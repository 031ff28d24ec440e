'use strict';
// When each printer is asked, how many at once, what a failure means, and what is remembered from poll to poll.

const { poll: pollPrinter, PollError, SOURCES } = require('./printers');
const { step } = require('./jobs');

const DEFAULTS = {
  concurrency: 32,
  timeoutMs: 8000,
  // The small boards stop answering in mid-print: only repeated or long silence is "offline".
  failuresBeforeOffline: 3,
  silenceBeforeOfflineMs: 5 * 60_000,
  // A wrong password does not get better by asking often, and some printers lock out who tries.
  refusedPauseMs: 60_000,
  // Told of each poll: kind of source, `ok` or the kind of failure, seconds.
  observe: () => {},
};
const FIRST_SPREAD_MS = 2000;

/** Map device_id → what polling knows of it; lives as long as the Node-RED process, everything in it can be rebuilt from the database. */
const createPollMemory = () => new Map();

function entryOf(memory, deviceId) {
  let entry = memory.get(deviceId);
  if (entry === undefined) {
    entry = { running: false, nextAt: null, failures: 0, lastSuccess: null, firstTry: null, refused: null, previous: null, job: null, confirmed: false, closedJobId: null };
    memory.set(deviceId, entry);
  }
  return entry;
}

/**
 * The devices whose turn it is; call it about once a second. A device is never asked while its last poll is under way, keeps its own
 * data_interval_seconds, and new devices start spread over 2 s. Devices that are no longer in the list are forgotten.
 * @returns {object[]}
 */
function duePrinters(devices, memory, now = Date.now()) {
  const listed = new Set(devices.map((device) => device.device_id));
  for (const [deviceId, entry] of memory) if (!listed.has(deviceId) && !entry.running) memory.delete(deviceId);
  return devices.filter((device) => {
    if (device.is_active === false || !SOURCES.includes(device.source)) return false;
    const entry = entryOf(memory, device.device_id);
    if (entry.running) return false;
    if (entry.refused !== null && entry.refused.key !== credentialKey(device)) Object.assign(entry, { refused: null, nextAt: now });
    const interval = intervalMs(device);
    if (entry.nextAt === null || entry.nextAt > now + Math.max(interval, DEFAULTS.refusedPauseMs) + FIRST_SPREAD_MS) {
      // New, or the clock was set back.
      entry.nextAt = now + (spread(device.device_id) % Math.min(FIRST_SPREAD_MS, interval / 4));
    }
    return now >= entry.nextAt - Math.min(500, interval / 10);
  });
}

const intervalMs = (device) => Math.max(2, device.data_interval_seconds ?? 30) * 1000;

/** Changed credentials or addresses deserve a new try at once. */
const credentialKey = (device) => JSON.stringify([device.source, device.api_ip, device.api_key, device.simplyprint_id, device.sp_company_id, device.sp_api_key]);

function spread(text) {
  let hash = 0;
  for (const char of text) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return hash;
}

/**
 * Polls devices, `concurrency` at once; each result is handed over as soon as it is there, so that a hung printer delays nobody.
 * @param {object[]} devices  as devices_to_poll() gives them, with open_job and latest
 * @param {(result: object) => void} onResult  gets a status with `actions`, `events`, `error` (a sentence or null), fit for record_status.
 *   While a printer does not answer but is not offline yet, its `state` is null: nothing but the error is to be recorded.
 * @param {{now?: () => number, poll?: Function}} options  and any of DEFAULTS
 * @returns {Promise<number>} how many were polled; resolves when all are done, never rejects
 */
async function pollAll(devices, memory, onResult, options = {}) {
  const settings = { ...DEFAULTS, now: Date.now, poll: pollPrinter, ...options };
  const waiting = devices.filter((device) => !entryOf(memory, device.device_id).running);
  const count = waiting.length;
  for (const device of waiting) claim(device, entryOf(memory, device.device_id), settings.now());
  const worker = async () => {
    for (let device = waiting.shift(); device !== undefined; device = waiting.shift()) {
      const entry = entryOf(memory, device.device_id);
      try {
        onResult(await pollOne(device, entry, settings));
      } finally {
        entry.running = false;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(settings.concurrency, count) }, worker));
  return count;
}

/** The next turn counts from this one's due time, so that the interval does not drift; what was missed is not made up for. */
function claim(device, entry, now) {
  const interval = intervalMs(device);
  entry.running = true;
  const due = (entry.nextAt ?? now) + interval;
  entry.nextAt = due > now ? due : now + interval;
}

async function pollOne(device, entry, settings) {
  const begun = performance.now();
  let observed;
  try {
    observed = await settings.poll(device, { timeoutMs: settings.timeoutMs, now: settings.now, openJob: entry.job ?? device.open_job });
  } catch (error) {
    observed = error instanceof PollError ? error : new PollError('payload', `The poll failed: ${error.message}`);
  }
  settings.observe(device.source, observed instanceof Error ? observed.kind : 'ok', (performance.now() - begun) / 1000);
  return digest(device, entry, observed, settings.now(), settings);
}

/** One observation → the result to record; updates what is remembered of the device. */
function digest(device, entry, observed, now, settings = DEFAULTS) {
  const failed = observed instanceof Error;
  const status = failed ? failure(device, entry, observed, now, settings) : success(entry, observed, now);
  const openJob = reconcile(entry, device.open_job ?? null, now);
  const previous = entry.previous ?? device.latest ?? null;
  const turn = step(device, openJob, previous, failed ? observed : status, failed ? now : status.timestamp);
  if (!failed) entry.previous = turn.previous;
  if (openJob !== null && turn.job?.job_id !== openJob.job_id) entry.closedJobId = openJob.job_id;
  if (turn.job?.job_id !== entry.job?.job_id) entry.confirmed = turn.job !== null && turn.job.job_id === device.open_job?.job_id;
  entry.job = turn.job;
  return { ...status, actions: turn.actions, events: turn.events };
}

/**
 * Which job is open: the database knows what survived a restart and what was closed by hand, the memory knows what is not committed yet.
 * A job that the database has shown once and shows no longer was closed there; one that it never showed is still on its way.
 */
function reconcile(entry, stored, now) {
  const { job } = entry;
  if (stored !== null && stored.job_id === entry.closedJobId) return job;
  if (job === null) return stored;
  if (stored?.job_id === job.job_id) {
    entry.confirmed = true;
    return job;
  }
  if (!entry.confirmed) return job;
  // Should the printer go on with it, that is a new job from now on.
  entry.previous = { ...entry.previous, last_ended: { ...job, status: 'unknown', end_time: new Date(now).toISOString() } };
  return stored;
}

function success(entry, status, now) {
  Object.assign(entry, { failures: 0, lastSuccess: now, firstTry: null, refused: null });
  return { ...status, error: null, error_kind: null };
}

function failure(device, entry, error, now, settings) {
  entry.failures += 1;
  entry.firstTry ??= now;
  if (error.kind === 'auth' || error.kind === 'config') {
    entry.refused = { key: credentialKey(device) };
    entry.nextAt = Math.max(entry.nextAt ?? 0, now + settings.refusedPauseMs);
  }
  const silent = now - (entry.lastSuccess ?? entry.firstTry);
  const offline = error.kind === 'not_connected' || entry.failures >= settings.failuresBeforeOffline || silent >= settings.silenceBeforeOfflineMs;
  return {
    device_id: device.device_id,
    timestamp: new Date(now).toISOString(),
    state: offline ? 'offline' : null,
    state_text: null,
    error: error.message,
    error_kind: error.kind,
  };
}

module.exports = { createPollMemory, duePrinters, pollAll, digest, DEFAULTS };
