'use strict';
// OctoPrint: /api/printer and /api/job with X-Api-Key. It has no job id: a job is its file and its printing time.

/** @import { Device, PollOptions, PrinterStatus, Said } from '../types' */

const { PollError } = require('./poll-error');
const { baseUrl, send, json } = require('./http');
const { makeStatus, text, part } = require('./status');
const { fromFlags } = require('./flags');

const CONNECT = 'switch the printer on and press Connect.';

/**
 * @param {Device} device
 * @param {Required<PollOptions>} options
 * @returns {Promise<PrinterStatus>}
 * @throws {PollError}
 */
async function poll(device, { timeoutMs, now }) {
  const base = baseUrl(device.api_ip);
  const signal = AbortSignal.timeout(timeoutMs);
  const headers = { 'x-api-key': device.api_key ?? '' };
  const printerUrl = `${base}/api/printer?exclude=sd`;
  const answer = await send(printerUrl, { headers, signal });
  if (answer.status === 409) {
    throw new PollError('not_connected', `OctoPrint runs, but its printer is not connected: ${CONNECT}`);
  }
  const printer = json(answer, printerUrl);
  const jobUrl = `${base}/api/job`;
  return fromOctoPrint(device, now(), printer, json(await send(jobUrl, { headers, signal }), jobUrl));
}

/**
 * The status from what OctoPrint says.
 * @param {{device_id: string}} device
 * @param {number} now  milliseconds since 1970
 * @param {Said} printer  of /api/printer
 * @param {Said} answer  of /api/job
 * @returns {PrinterStatus}
 * @throws {PollError} not_connected
 */
function fromOctoPrint(device, now, printer, answer) {
  const flags = fromFlags(part(part(printer, 'state'), 'flags'));
  if (flags.state === 'offline') {
    throw new PollError('not_connected', `OctoPrint has lost its printer: ${CONNECT}`);
  }
  const tool = part(part(printer, 'temperature'), 'tool0');
  const bed = part(part(printer, 'temperature'), 'bed');
  const file = part(part(answer, 'job'), 'file');
  const progress = part(answer, 'progress');
  const filename = text(file.display) ?? text(file.name);
  const stopped = flags.state === 'idle' && filename !== null;
  const complete = stopped && progress.completion >= 100;
  return makeStatus(device, now, {
    ...flags,
    api: 'octoprint',
    state: complete ? 'finished' : flags.state,
    state_text: text(part(printer, 'state').text),
    nozzle_temp_actual: tool.actual,
    nozzle_temp_target: tool.target,
    bed_temp_actual: bed.actual,
    bed_temp_target: bed.target,
    filename,
    progress_percent: progress.completion,
    time_left_seconds: progress.printTimeLeft,
    elapsed_seconds: progress.printTime,
    // The length that the file takes, which is what was used once it is complete.
    filament_used_mm: filamentLength(part(part(answer, 'job'), 'filament'), complete ? 100 : progress.completion),
    job_outcome: complete ? 'done' : null,
    // After a cancelled print the file stays selected without progress.
    silence_means: stopped && !complete ? 'cancelled' : null,
    download_ref: downloadRef(file),
  });
}

/**
 * @param {Said} tools  each with the length that the file takes, mm
 * @param {unknown} completion  percent
 */
function filamentLength(tools, completion) {
  const lengths = Object.values(tools).map((tool) => tool?.length).filter(Number.isFinite);
  if (lengths.length === 0 || typeof completion !== 'number' || !Number.isFinite(completion)) return null;
  return lengths.reduce((sum, length) => sum + length, 0) * (completion / 100);
}

/**
 * Path below the server for the download; files on the printer's SD card cannot be downloaded.
 * @param {Said} file
 */
function downloadRef(file) {
  const path = text(file.path, 1024);
  if (path === null || file.origin === 'sdcard') return null;
  return `/downloads/files/local/${path.split('/').map(encodeURIComponent).join('/')}`;
}

module.exports = { poll, fromOctoPrint };
