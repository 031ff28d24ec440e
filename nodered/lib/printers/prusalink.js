'use strict';
// PrusaLink: v1 with digest authentication, or the legacy API with X-Api-Key. Which of them a printer speaks is found
// out once.

/** @import { Device, Outcome, PollOptions, PrinterState, PrinterStatus, Said } from '../types' */
/** @import { Credentials, Session } from './http-digest' */

const { BoundedMap } = require('../bounded-map');
const { PollError } = require('./poll-error');
const { baseUrl, send, json } = require('./http');
const { sendDigest } = require('./http-digest');
const { makeStatus, text, id, part, meaning } = require('./status');
const { fromFlags } = require('./flags');

/** @type {Record<string, PrinterState>} */
const STATES = {
  IDLE: 'idle', READY: 'ready', BUSY: 'idle', PRINTING: 'printing', PAUSED: 'paused', ATTENTION: 'attention',
  FINISHED: 'finished', STOPPED: 'cancelled', ERROR: 'error',
};
/** @type {Record<string, Outcome>} */
const OUTCOMES = { FINISHED: 'done', STOPPED: 'cancelled', ERROR: 'error' };

/**
 * @typedef {{api: 'v1' | 'legacy' | null, session: Session | null}} Memory
 * @typedef {{base: string, key: string, memory: Memory, signal: AbortSignal, device: Device, now: () => number}} Call
 */

/** @type {BoundedMap<string, Memory>}  by device and credentials */
const remembered = new BoundedMap(2000);

/**
 * What to log in with.
 * @param {string} apiKey  the password of `maker`, or `user:password`
 * @returns {Credentials}
 */
function credentials(apiKey) {
  const cut = apiKey.indexOf(':');
  if (cut < 0) return { user: 'maker', password: apiKey };
  return { user: apiKey.slice(0, cut), password: apiKey.slice(cut + 1) };
}

/**
 * @param {Device} device
 * @param {Required<PollOptions>} options
 * @returns {Promise<PrinterStatus>}
 * @throws {PollError}
 */
async function poll(device, { timeoutMs, now }) {
  const base = baseUrl(device.api_ip);
  const key = device.api_key ?? '';
  if (key === '') {
    const where = 'it stands in the printer\'s menu under Network > PrusaLink';
    throw new PollError('config', `PrusaLink needs its password: set api_key (${where}).`);
  }
  const slot = `${device.device_id} ${base} ${key}`;
  const memory = remembered.get(slot) ?? { api: null, session: null };
  remembered.set(slot, memory);
  const call = { base, key, memory, signal: AbortSignal.timeout(timeoutMs), device, now };
  if (memory.api === null) return decide(call);
  return forgetting(memory, memory.api === 'v1' ? v1(call) : legacy(call));
}

/**
 * A firmware update may change what a printer speaks: when it no longer fits, the next poll decides again.
 * @param {Memory} memory
 * @param {Promise<PrinterStatus>} asked
 */
async function forgetting(memory, asked) {
  try {
    return await asked;
  } catch (error) {
    if (error.kind === 'auth' || error.kind === 'http') memory.api = null;
    throw error;
  }
}

/**
 * Tries v1 first, and remembers what the printer spoke.
 * @param {Call} call
 */
async function decide(call) {
  let status;
  try {
    status = await v1(call);
    call.memory.api = 'v1';
    return status;
  } catch (refusal) {
    if (refusal.kind !== 'auth' && !(refusal.kind === 'http' && refusal.status === 404)) throw refusal;
    try {
      status = await legacy(call);
    } catch (second) {
      // A time-out says nothing about the API; a second refusal does: then the first sentence is the useful one.
      throw second.kind === 'timeout' || second.kind === 'unreachable' ? second : refusal;
    }
    call.memory.api = 'legacy';
    return status;
  }
}

/**
 * @param {Call} call
 * @param {string} path
 * @returns {Promise<Said | null>} null when there is no content
 */
async function get(call, path) {
  const url = call.base + path;
  const answer = await sendDigest(url, { signal: call.signal }, credentials(call.key), call.memory);
  if (answer.status === 204) return null;
  if (answer.status === 404) {
    const sentence = `${new URL(url).host} has no PrusaLink v1 API: is source right for this device?`;
    throw new PollError('http', sentence, { status: 404 });
  }
  return json(answer, url);
}

/** @param {Call} call */
async function v1(call) {
  const said = await get(call, '/api/v1/status');
  if (typeof said?.printer !== 'object' || said.printer === null) {
    throw new PollError('payload', 'The answer has no "printer": is this address a PrusaLink?');
  }
  // File and true state of a job are told apart from the status; without a job the answer is 204.
  const busy = said.job !== undefined || !['IDLE', 'READY'].includes(said.printer.state);
  return fromV1(call.device, call.now(), said, busy ? await get(call, '/api/v1/job') : null);
}

/**
 * The status from what PrusaLink v1 says.
 * @param {{device_id: string}} device
 * @param {number} now  milliseconds since 1970
 * @param {Said} said  of /api/v1/status, with `printer`
 * @param {Said | null} answered  of /api/v1/job
 * @returns {PrinterStatus}
 */
function fromV1(device, now, said, answered) {
  const { printer } = said;
  const short = part(said, 'job');
  const job = answered ?? {};
  const jobId = id(short.id ?? job.id);
  const file = part(job, 'file');
  // ATTENTION hides what the print does; the job tells it.
  const jobState = text(job.state) ?? printer.state;
  const running = ['PRINTING', 'PAUSED'].includes(printer.state);
  const outcome = running || jobId === null ? null : meaning(OUTCOMES, jobState) ?? meaning(OUTCOMES, printer.state);
  // BUSY is homing or heating before the first move of a job, and without a job any other work.
  const begins = printer.state === 'BUSY' && jobId !== null && outcome === null;
  const state = begins ? 'printing' : meaning(STATES, printer.state) ?? 'unknown';
  const paused = state === 'paused' || (state === 'attention' && jobState === 'PAUSED');
  return makeStatus(device, now, {
    api: 'v1',
    state,
    state_text: text(printer.state),
    is_operational: state !== 'error' && state !== 'unknown',
    is_printing: printer.state === 'PRINTING' || (state === 'attention' && jobState === 'PRINTING'),
    is_paused: paused,
    is_error: state === 'error',
    is_busy: printer.state === 'BUSY',
    nozzle_temp_actual: printer.temp_nozzle,
    nozzle_temp_target: printer.target_nozzle,
    bed_temp_actual: printer.temp_bed,
    bed_temp_target: printer.target_bed,
    z_height_mm: printer.axis_z,
    speed_multiplier_percent: printer.speed,
    fan_rpm: printer.fan_print,
    filename: text(file.display_name) ?? text(file.name),
    progress_percent: short.progress ?? job.progress,
    time_left_seconds: short.time_remaining ?? job.time_remaining,
    elapsed_seconds: short.time_printing ?? job.time_printing,
    source_job_id: jobId,
    job_outcome: outcome,
    download_ref: text(part(file, 'refs').download, 1024),
  });
}

/** @param {Call} call */
async function legacy(call) {
  const headers = { 'x-api-key': call.key };
  /** @param {string} path */
  const ask = async (path) => json(await send(call.base + path, { headers, signal: call.signal }), call.base + path);
  const printer = await ask('/api/printer');
  return fromLegacy(call.device, call.now(), printer, await ask('/api/job'));
}

/**
 * The status from what the legacy API says.
 * @param {{device_id: string}} device
 * @param {number} now  milliseconds since 1970
 * @param {Said} printer  of /api/printer
 * @param {Said} answer  of /api/job
 * @returns {PrinterStatus}
 */
function fromLegacy(device, now, printer, answer) {
  const telemetry = part(printer, 'telemetry');
  const tool = part(part(printer, 'temperature'), 'tool0');
  const bed = part(part(printer, 'temperature'), 'bed');
  const file = part(part(answer, 'job'), 'file');
  const progress = part(answer, 'progress');
  const flags = fromFlags(part(part(printer, 'state'), 'flags'));
  return makeStatus(device, now, {
    ...flags,
    api: 'legacy',
    state_text: text(part(printer, 'state').text),
    nozzle_temp_actual: tool.actual ?? telemetry['temp-nozzle'],
    nozzle_temp_target: tool.target,
    bed_temp_actual: bed.actual ?? telemetry['temp-bed'],
    bed_temp_target: bed.target,
    z_height_mm: telemetry['z-height'],
    speed_multiplier_percent: telemetry['print-speed'],
    material: material(telemetry.material),
    filename: text(file.display) ?? text(file.name),
    // 0..1 here, unlike everywhere else.
    progress_percent: typeof progress.completion === 'number' ? progress.completion * 100 : null,
    time_left_seconds: progress.printTimeLeft,
    elapsed_seconds: progress.printTime,
    // Legacy firmware serves a file under the path that it names.
    download_ref: text(part(file, 'refs').download ?? file.path, 1024),
  });
}

/**
 * The printer's menu calls an unset material " - ".
 * @param {unknown} value
 */
function material(value) {
  const name = text(value, 40);
  return name === null || /^-+$/.test(name) ? null : name;
}

module.exports = { poll, credentials, fromV1, fromLegacy };
