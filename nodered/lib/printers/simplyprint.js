'use strict';
// SimplyPrint's cloud: POST printers/Get with the printer's number. HTTP 200 with status=false is an error.

/** @import { Device, OpenJob, Outcome, PastJob, PollOptions, PrinterState, PrinterStatus, Said } from '../types' */
/** @import { Request } from './http' */

const { PollError } = require('./poll-error');
const { baseUrl, send, json } = require('./http');
const { makeStatus, number, text, id, part, meaning } = require('./status');

const PUBLIC = 'https://api.simplyprint.io';
/** @type {Record<string, PrinterState>} */
const STATES = {
  operational: 'idle', idle: 'idle', ready: 'ready', offline: 'offline', printing: 'printing', paused: 'paused',
  pausing: 'printing', resuming: 'printing', cancelling: 'printing', finishing: 'printing', heating: 'printing',
  error: 'error', printer_error: 'error', attention: 'attention', not_connected: 'offline',
};
/** @type {Record<string, Outcome>} */
const OUTCOMES = {
  done: 'done', finished: 'done', completed: 'done', cancelled: 'cancelled', failed: 'error', error: 'error',
};
const BUSY = ['pausing', 'resuming', 'cancelling', 'finishing'];
const OFFLINE = 'SimplyPrint says that the printer is offline: switch it on.';

/**
 * @param {Device} device
 * @param {Required<PollOptions>} options
 * @returns {Promise<PrinterStatus>}
 * @throws {PollError}
 */
async function poll(device, { timeoutMs, now, openJob }) {
  const base = device.api_ip ? baseUrl(device.api_ip) : PUBLIC;
  const pid = Number(device.simplyprint_id);
  if (!Number.isInteger(pid) || pid <= 0) {
    throw new PollError('config', 'simplyprint_id must be the number of the printer in SimplyPrint.');
  }
  if (!device.sp_company_id || !device.sp_api_key) {
    throw new PollError('config', 'SimplyPrint needs sp_company_id and sp_api_key (its panel shows both under API).');
  }
  const root = `${base}/${encodeURIComponent(device.sp_company_id)}`;
  const url = `${root}/printers/Get`;
  const request = { headers: { 'x-api-key': device.sp_api_key }, signal: AbortSignal.timeout(timeoutMs) };
  const answer = await send(url, { ...request, method: 'POST', body: JSON.stringify({ pid }) });
  const status = fromSimplyPrint(device, now(), json(answer, url), pid);
  const uid = openJob?.simplyprint_job_id;
  if (!openJob || !uid || uid === status.simplyprint_job_id) return status;
  const details = `${root}/jobs/GetDetails?id=${encodeURIComponent(uid)}`;
  return { ...status, recent_jobs: await pastJob(details, request, openJob) };
}

/**
 * An ended print is gone from the printer's answer: how it ended is told under its uid. No word of it is no error.
 * @param {string} url
 * @param {Request} request
 * @param {Pick<OpenJob, 'source_job_id'>} openJob
 * @returns {Promise<PastJob[]>}
 */
async function pastJob(url, request, openJob) {
  try {
    const outcome = outcomeOf(part(json(await send(url, request), url), 'job'));
    return outcome === null ? [] : [{ source_job_id: openJob.source_job_id ?? null, outcome }];
  } catch {
    return [];
  }
}

/** @param {Said} job */
const outcomeOf = (job) => meaning(OUTCOMES, (text(job.state) ?? '').toLowerCase());

/**
 * The status from what SimplyPrint says.
 * @param {{device_id: string}} device
 * @param {number} now  milliseconds since 1970
 * @param {Said} envelope
 * @param {number} pid  the printer's number
 * @returns {PrinterStatus}
 * @throws {PollError}
 */
function fromSimplyPrint(device, now, envelope, pid) {
  if (envelope.status === false) refuse(text(envelope.message) ?? 'no reason given');
  const found = Array.isArray(envelope.data) ? envelope.data.find((entry) => entry?.id === pid) : envelope.data;
  if (typeof found?.printer !== 'object' || found.printer === null) {
    throw new PollError('payload', `SimplyPrint did not tell about printer ${pid}: check simplyprint_id.`);
  }
  const { printer } = found;
  const word = (text(printer.state) ?? '').toLowerCase();
  const state = meaning(STATES, word) ?? 'unknown';
  if (printer.online === false || state === 'offline') throw new PollError('not_connected', OFFLINE);
  const temps = part(printer, 'temps');
  const job = part(found, 'job');
  const goesOn = state === 'printing' || state === 'paused' || state === 'attention';
  return makeStatus(device, now, {
    api: 'simplyprint',
    state,
    state_text: text(printer.state),
    is_operational: state !== 'error' && state !== 'unknown',
    is_printing: state === 'printing',
    is_paused: state === 'paused',
    is_error: state === 'error',
    is_busy: BUSY.includes(word),
    nozzle_temp_actual: tool(temps, 'current'),
    nozzle_temp_target: tool(temps, 'target'),
    bed_temp_actual: part(temps, 'current').bed,
    bed_temp_target: part(temps, 'target').bed,
    material: material(found.filament),
    filename: text(job.file),
    progress_percent: job.percentage,
    time_left_seconds: job.time,
    source_job_id: id(job.id),
    simplyprint_job_id: id(job.uid),
    job_outcome: goesOn || id(job.id) === null ? null : outcomeOf(job),
  });
}

/**
 * @param {Said} temps
 * @param {'current' | 'target'} which
 */
function tool(temps, which) {
  const tools = part(temps, which).tool;
  return number(Array.isArray(tools) ? tools[0] : tools);
}

/**
 * The spool in the first extruder.
 * @param {any} filament
 */
function material(filament) {
  const spool = Array.isArray(filament) || filament?.type === undefined ? Object.values(filament ?? {})[0] : filament;
  return text(spool?.type?.name ?? spool?.type, 40);
}

/**
 * @param {string} message
 * @returns {never}
 */
function refuse(message) {
  const auth = /key|auth|permission|denied|login/i.test(message);
  const reason = message.replace(/\.+$/, '');
  const remedy = 'Check sp_api_key, sp_company_id and simplyprint_id.';
  throw new PollError(auth ? 'auth' : 'http', `SimplyPrint refused: ${reason}. ${remedy}`);
}

module.exports = { poll, fromSimplyPrint };
