'use strict';
// Moonraker (Klipper): the values stay after a job until they are reset, so the job's id comes from the history.

const { PollError } = require('./poll-error');
const { baseUrl, send, json } = require('./http');
const { makeStatus, number, text, id, part } = require('./status');

const QUERY = '/printer/objects/query?print_stats&virtual_sdcard&display_status&webhooks&gcode_move=gcode_position,speed_factor'
  + '&extruder=temperature,target&heater_bed=temperature,target&fan=rpm';
const HISTORY = '/server/history/list?limit=5&order=desc';
const STATES = { standby: 'idle', printing: 'printing', paused: 'paused', complete: 'finished', error: 'error', cancelled: 'cancelled' };
const OUTCOMES = { complete: 'done', cancelled: 'cancelled', error: 'error' };
// What the history calls a job that ended.
const HISTORY_OUTCOMES = {
  completed: 'done', cancelled: 'cancelled', error: 'error', klippy_shutdown: 'error', klippy_disconnect: 'error', server_exit: null,
};

async function poll(device, { timeoutMs = 8000, now = Date.now, base = baseUrl(device.api_ip) } = {}) {
  const signal = AbortSignal.timeout(timeoutMs);
  const headers = device.api_key ? { 'x-api-key': device.api_key } : {};
  const url = base + QUERY;
  const answer = await send(url, { headers, signal });
  if (answer.status === 503) throw new PollError('not_connected', 'Moonraker runs, but Klipper is not ready: switch the printer on or restart the firmware.');
  const said = part(part(json(answer, url), 'result'), 'status');
  if (typeof said.print_stats !== 'object' || said.print_stats === null) {
    throw new PollError('payload', 'The answer has no "print_stats": is this address a Moonraker with a virtual SD card?');
  }
  const historyUrl = base + HISTORY;
  const history = await send(historyUrl, { headers, signal });
  // The history is an optional component: without it a job is identified by its file.
  const jobs = history.status === 200 ? part(json(history, historyUrl), 'result').jobs : null;
  return fromMoonraker(device, now(), said, Array.isArray(jobs) ? jobs.filter((job) => job !== null && typeof job === 'object') : []);
}

/** @param {object[]} history  newest first */
function fromMoonraker(device, now, said, history) {
  const stats = said.print_stats;
  const filename = text(stats.filename, 512);
  const state = part(said, 'webhooks').state === 'shutdown' || part(said, 'webhooks').state === 'error' ? 'error' : STATES[stats.state] ?? 'unknown';
  const job = filename !== null && history[0]?.filename === stats.filename ? history[0] : null;
  const nozzle = part(said, 'extruder');
  const bed = part(said, 'heater_bed');
  const move = part(said, 'gcode_move');
  const elapsed = number(stats.total_duration, 0, 1e8);
  const progress = number(part(said, 'virtual_sdcard').progress, 0, 1) ?? number(part(said, 'display_status').progress, 0, 1);
  const ended = OUTCOMES[stats.state] ?? null;
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
    filename: filename?.split('/').pop() ?? null,
    progress_percent: filename === null || progress === null ? null : ended === 'done' ? 100 : progress * 100,
    time_left_seconds: active ? timeLeft(progress, number(stats.print_duration, 0, 1e8)) : null,
    // Includes pauses, so that now minus elapsed is the start.
    elapsed_seconds: filename === null ? null : elapsed,
    source_job_id: job === null ? null : id(job.job_id),
    filament_used_mm: filename === null ? null : stats.filament_used,
    job_outcome: filename === null ? null : ended,
    recent_jobs: history.map((ended) => ({ source_job_id: id(ended.job_id), outcome: HISTORY_OUTCOMES[ended.status] ?? null })),
    download_ref: filename === null ? null : `/server/files/gcodes/${filename.split('/').map(encodeURIComponent).join('/')}`,
  });
}

/** Klipper has no estimate of its own: what was printed so far, extrapolated. Worthless in the first percent. */
function timeLeft(progress, printed) {
  if (progress === null || printed === null || progress < 0.01) return null;
  return Math.round((printed / progress) * (1 - progress));
}

module.exports = { poll, fromMoonraker };
