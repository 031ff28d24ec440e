'use strict';
// When each printer is asked, how many at once, what a failure means, and what is remembered from poll to poll.

/** @import { Device, Job, OpenJob, PollErrorKind, PollOptions, PollResult, Previous, PrinterStatus } from './types' */

const { poll: pollPrinter, SOURCES } = require('./printers');
const { PollError } = require('./printers/poll-error');
const { step } = require('./jobs');

/**
 * @typedef {object} Settings
 * @property {number} concurrency  polls at once
 * @property {number} timeoutMs
 * @property {number} failuresBeforeOffline
 * @property {number} silenceBeforeOfflineMs
 * @property {number} refusedPauseMs
 * @property {(source: string, outcome: 'ok' | PollErrorKind, seconds: number) => void} observe  told of each poll
 * @property {() => number} now  milliseconds since 1970
 * @property {(device: Device, options: PollOptions) => Promise<PrinterStatus>} poll
 */

/** @type {Settings} */
const DEFAULTS = {
  concurrency: 32,
  timeoutMs: 8000,
  // The small boards stop answering in mid-print: only repeated or long silence is "offline".
  failuresBeforeOffline: 3,
  silenceBeforeOfflineMs: 5 * 60_000,
  // A wrong password does not get better by asking often, and some printers lock out whoever tries.
  refusedPauseMs: 60_000,
  observe: () => {},
  now: Date.now,
  poll: pollPrinter,
};
const FIRST_SPREAD_MS = 2000;

/**
 * What polling knows of a device. All times are milliseconds since 1970.
 * @typedef {object} Entry
 * @property {boolean} running  a poll is under way
 * @property {number | null} nextAt
 * @property {number} failures  in a row
 * @property {number | null} lastSuccess
 * @property {number | null} firstTry  the first failure since the last success
 * @property {{key: string} | null} refused  the credentials that were refused
 * @property {Previous | null} previous  what step() left behind
 * @property {Job | null} job  the open print
 * @property {boolean} confirmed  the database has shown this print
 * @property {string | null} closedJobId  the print that was closed last
 * @typedef {Map<string, Entry>} PollMemory  by device_id
 */

/**
 * The memory of polling: it lives as long as the Node-RED process, everything in it can be rebuilt from the database.
 * @returns {PollMemory}
 */
const createPollMemory = () => new Map();

/**
 * @param {PollMemory} memory
 * @param {string} deviceId
 * @returns {Entry}
 */
function entryOf(memory, deviceId) {
  let entry = memory.get(deviceId);
  if (entry === undefined) {
    entry = {
      running: false, nextAt: null, failures: 0, lastSuccess: null, firstTry: null, refused: null, previous: null,
      job: null, confirmed: false, closedJobId: null,
    };
    memory.set(deviceId, entry);
  }
  return entry;
}

/**
 * The devices whose turn it is; call it about once a second. A device is never asked while its last poll is under way,
 * keeps its own data_interval_seconds, and new devices start spread over 2 s. Devices that are no longer in the list
 * are forgotten.
 * @param {Device[]} devices
 * @param {PollMemory} memory
 * @param {number} [now]
 * @returns {Device[]}
 */
function duePrinters(devices, memory, now = Date.now()) {
  const listed = new Set(devices.map((device) => device.device_id));
  for (const [deviceId, entry] of memory) if (!listed.has(deviceId) && !entry.running) memory.delete(deviceId);
  return devices.filter((device) => {
    if (device.is_active === false || !SOURCES.includes(device.source)) return false;
    const entry = entryOf(memory, device.device_id);
    return !entry.running && isDue(device, entry, now);
  });
}

/**
 * @param {Device} device
 * @param {Entry} entry
 * @param {number} now
 */
function isDue(device, entry, now) {
  if (entry.refused !== null && entry.refused.key !== credentialKey(device)) {
    entry.refused = null;
    entry.nextAt = now;
  }
  const interval = intervalMs(device);
  if (entry.nextAt === null || entry.nextAt > now + Math.max(interval, DEFAULTS.refusedPauseMs) + FIRST_SPREAD_MS) {
    // New, or the clock was set back.
    entry.nextAt = now + (spread(device.device_id) % Math.min(FIRST_SPREAD_MS, interval / 4));
  }
  return now >= entry.nextAt - Math.min(500, interval / 10);
}

/** @param {Device} device */
const intervalMs = (device) => Math.max(2, device.data_interval_seconds ?? 30) * 1000;

/**
 * Changed credentials or addresses deserve a new try at once.
 * @param {Device} device
 */
const credentialKey = ({ source, api_ip, api_key, simplyprint_id, sp_company_id, sp_api_key }) =>
  JSON.stringify([source, api_ip, api_key, simplyprint_id, sp_company_id, sp_api_key]);

/**
 * A number that depends on nothing but the text.
 * @param {string} text
 */
function spread(text) {
  let hash = 0;
  for (const char of text) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) >>> 0;
  return hash;
}

/**
 * Polls devices, `concurrency` at once; each result is handed over as soon as it is there, so that a hung printer
 * delays nobody.
 * @param {Device[]} devices  as devices_to_poll() gives them, with open_job and latest
 * @param {PollMemory} memory
 * @param {(result: PollResult) => void} onResult  gets what must be recorded
 * @param {Partial<Settings>} [options]
 * @returns {Promise<number>} how many were polled; resolves when all are done, never rejects
 */
async function pollAll(devices, memory, onResult, options = {}) {
  const settings = { ...DEFAULTS, ...options };
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

/**
 * The next turn counts from this one's due time, so that the interval does not drift; what was missed is not made up
 * for.
 * @param {Device} device
 * @param {Entry} entry
 * @param {number} now
 */
function claim(device, entry, now) {
  const interval = intervalMs(device);
  entry.running = true;
  const due = (entry.nextAt ?? now) + interval;
  entry.nextAt = due > now ? due : now + interval;
}

/**
 * @param {Device} device
 * @param {Entry} entry
 * @param {Settings} settings
 */
async function pollOne(device, entry, settings) {
  const { timeoutMs, now } = settings;
  const began = performance.now();
  /** @type {PrinterStatus | PollError} */
  let observed;
  try {
    observed = await settings.poll(device, { timeoutMs, now, openJob: entry.job ?? device.open_job });
  } catch (error) {
    observed = error instanceof PollError ? error : new PollError('payload', `The poll failed: ${error.message}`);
  }
  settings.observe(device.source, observed instanceof Error ? observed.kind : 'ok', (performance.now() - began) / 1000);
  return digest(device, entry, observed, now(), settings);
}

/**
 * One observation → the result to record; updates what is remembered of the device.
 * @param {Device} device
 * @param {Entry} entry
 * @param {PrinterStatus | PollError} observed
 * @param {number} now
 * @param {Settings} [settings]
 * @returns {PollResult}
 */
function digest(device, entry, observed, now, settings = DEFAULTS) {
  const failed = observed instanceof Error;
  if (failed) noteFailure(device, entry, observed, now, settings);
  else noteSuccess(entry, now);
  const openJob = reconcile(entry, device.open_job ?? null, now);
  const previous = entry.previous ?? device.latest ?? null;
  const turn = step(device, openJob, previous, observed, failed ? now : observed.timestamp);
  if (!failed) entry.previous = turn.previous;
  if (openJob !== null && turn.job?.job_id !== openJob.job_id) entry.closedJobId = openJob.job_id;
  if (turn.job?.job_id !== entry.job?.job_id) {
    entry.confirmed = turn.job !== null && turn.job.job_id === device.open_job?.job_id;
  }
  entry.job = turn.job;
  const { actions, events } = turn;
  if (!failed) return { ...observed, error: null, error_kind: null, actions, events };
  return {
    device_id: device.device_id,
    timestamp: new Date(now).toISOString(),
    state: isOffline(entry, observed, now, settings) ? 'offline' : null,
    state_text: null,
    error: observed.message,
    error_kind: observed.kind,
    actions,
    events,
  };
}

/**
 * Which job is open: the database knows what survived a restart and what was closed by hand, the memory knows what is
 * not committed yet. A job that the database has shown once and shows no longer was closed there; one that it never
 * showed is still on its way.
 * @param {Entry} entry
 * @param {OpenJob | null} stored
 * @param {number} now
 * @returns {OpenJob | null}
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
  // Should the printer continue with it, that is a new job from now on.
  const ended = { ...job, status: /** @type {const} */ ('unknown'), end_time: new Date(now).toISOString() };
  entry.previous = { ...entry.previous, last_ended: ended };
  return stored;
}

/**
 * @param {Entry} entry
 * @param {number} now
 */
function noteSuccess(entry, now) {
  entry.failures = 0;
  entry.lastSuccess = now;
  entry.firstTry = null;
  entry.refused = null;
}

/**
 * @param {Device} device
 * @param {Entry} entry
 * @param {PollError} error
 * @param {number} now
 * @param {Settings} settings
 */
function noteFailure(device, entry, error, now, settings) {
  entry.failures += 1;
  entry.firstTry ??= now;
  if (error.kind === 'auth' || error.kind === 'config') {
    entry.refused = { key: credentialKey(device) };
    entry.nextAt = Math.max(entry.nextAt ?? 0, now + settings.refusedPauseMs);
  }
}

/**
 * @param {Entry} entry
 * @param {PollError} error
 * @param {number} now
 * @param {Settings} settings
 */
function isOffline(entry, error, now, settings) {
  const silentMs = now - (entry.lastSuccess ?? entry.firstTry ?? now);
  return error.kind === 'not_connected' || entry.failures >= settings.failuresBeforeOffline
    || silentMs >= settings.silenceBeforeOfflineMs;
}

module.exports = { createPollMemory, duePrinters, pollAll, digest };
