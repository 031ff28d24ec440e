'use strict';
// Moonraker (Klipper): the values stay after a job until they are reset, so the job's id comes from the history.

/** @import { Device, Outcome, PollOptions, PrinterState, PrinterStatus, Said } from '../types' */

const { PollError } = require('./poll-error');
const { baseUrl, send, json } = require('./http');
const { makeStatus, number, text, id, part, meaning } = require('./status');

const QUERY = '/printer/objects/query?print_stats&virtual_sdcard&display_status&webhooks'
  + '&gcode_move=gcode_position,speed_factor&extruder=temperature,target&heater_bed=temperature,target&fan=rpm';
const HISTORY = '/server/history/list?limit=5&order=desc';
/** @type {Record<string, PrinterState>} */
const STATES = {
  standby: 'idle', printing: 'printing', paused: 'paused', complete: 'finished', error: 'error', cancelled: 'cancelled',
};
/** @type {Record<string, Outcome>} */
const OUTCOMES = { complete: 'done', cancelled: 'cancelled', error: 'error' };
/** @type {Record<string, Outcome | null>}  what the history calls a job that ended */
const HISTORY_OUTCOMES = {
  completed: 'done', cancelled: 'cancelled', error: 'error', klippy_shutdown: 'error', klippy_disconnect: 'error',
  server_exit: null,
};

/**
 * @param {Device} device
 * @param {Required<PollOptions>} options
 * @returns {Promise<PrinterStatus>}
 * @throws {PollError}
 */
async function poll(device, { timeoutMs, now }) {
  const base = baseUrl(device.api_ip);
  const signal = AbortSignal.timeout(timeoutMs);
  /** @type {Record<string, string>} */
  const headers = device.api_key ? { 'x-api-key': device.api_key } : {};
  const url = base + QUERY;
  const answer = await send(url, { headers, signal });
  if (answer.status === 503) {
    const remedy = 'switch the printer on or restart the firmware.';
    throw new PollError('not_connected', `Moonraker runs, but Klipper is not ready: ${remedy}`);
  }
  const said = part(part(json(answer, url), 'result'), 'status');
  if (typeof said.print_stats !== 'object' || said.print_stats === null) {
    const question = 'is this address a Moonraker with a virtual SD card?';
    throw new PollError('payload', `The answer has no "print_stats": ${question}`);
  }
  const historyUrl = base + HISTORY;
  const history = await send(historyUrl, { headers, signal });
  // The history is an optional component: without it a job is identified by its file.
  const jobs = history.status === 200 ? part(json(history, historyUrl), 'result').jobs : null;
  const known = Array.isArray(jobs) ? jobs.filter((job) => job !== null && typeof job === 'object') : [];
  return fromMoonraker(device, now(), said, known);
}

/**
 * The status from what Moonraker says.
 * @param {{device_id: string}} device
 * @param {number} now  milliseconds since 1970
 * @param {Said} said  with print_stats
 * @param {Said[]} history  newest first
 * @returns {PrinterStatus}
 */
function fromMoonraker(device, now, said, history) {
  const stats = said.print_stats;
  const filename = text(stats.filename, 512);
  const isDown = ['shutdown', 'error'].includes(part(said, 'webhooks').state);
  const state = isDown ? 'error' : meaning(STATES, stats.state) ?? 'unknown';
  const nozzle = part(said, 'extruder');
  const bed = part(said, 'heater_bed');
  const move = part(said, 'gcode_move');
  const progress = number(part(said, 'virtual_sdcard').progress, 0, 1)
    ?? number(part(said, 'display_status').progress, 0, 1);
  const active = state === 'printing' || state === 'paused';
  return makeStatus(device, now, {
    api: 'moonraker',
    state,
    state_text: text(stats.message) ?? text(stats.state),
    is_operational: state !== 'error' && state !== 'unknown',
    is_printing: stats.state === 'printing',
    is_paused: stats.state === 'paused',
    is_error: state === 'error',
    is_busy: false,
    nozzle_temp_actual: nozzle.temperature,
    nozzle_temp_target: nozzle.target,
    bed_temp_actual: bed.temperature,
    bed_temp_target: bed.target,
    z_height_mm: move.gcode_position?.[2],
    speed_multiplier_percent: typeof move.speed_factor === 'number' ? move.speed_factor * 100 : null,
    fan_rpm: part(said, 'fan').rpm,
    time_left_seconds: active ? timeLeft(progress, number(stats.print_duration, 0, 1e8)) : null,
    ...(filename === null ? {} : jobOf(stats, filename, progress, history)),
    recent_jobs: history.map(({ job_id, status }) => ({
      source_job_id: id(job_id), outcome: meaning(HISTORY_OUTCOMES, status),
    })),
  });
}

/**
 * What is told about the job of this file.
 * @param {Said} stats
 * @param {string} filename
 * @param {number | null} progress  0 to 1
 * @param {Said[]} history
 * @returns {Partial<PrinterStatus>}
 */
function jobOf(stats, filename, progress, history) {
  const newest = history[0]?.filename === stats.filename ? history[0] : null;
  const outcome = meaning(OUTCOMES, stats.state);
  return {
    filename: filename.split('/').pop(),
    progress_percent: progress === null ? null : outcome === 'done' ? 100 : progress * 100,
    // Includes pauses, so that now minus elapsed is the start.
    elapsed_seconds: number(stats.total_duration, 0, 1e8),
    source_job_id: newest === null ? null : id(newest.job_id),
    filament_used_mm: stats.filament_used,
    job_outcome: outcome,
    download_ref: `/server/files/gcodes/${filename.split('/').map(encodeURIComponent).join('/')}`,
  };
}

/**
 * Klipper has no estimate of its own: what was printed so far, extrapolated. Worthless in the first percent.
 * @param {number | null} progress  0 to 1
 * @param {number | null} printed  seconds
 */
function timeLeft(progress, printed) {
  if (progress === null || printed === null || progress < 0.01) return null;
  return Math.round((printed / progress) * (1 - progress));
}

module.exports = { poll, fromMoonraker };
