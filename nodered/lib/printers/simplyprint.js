'use strict';
// SimplyPrint's cloud: POST printers/Get with the printer's number. HTTP 200 with status=false is an error.

const { PollError } = require('./poll-error');
const { baseUrl, send, json } = require('./http');
const { makeStatus, number, text, id, part } = require('./status');

const PUBLIC = 'https://api.simplyprint.io';
const STATES = {
  operational: 'idle', idle: 'idle', ready: 'ready', offline: 'offline', printing: 'printing', paused: 'paused', pausing: 'printing',
  resuming: 'printing', cancelling: 'printing', finishing: 'printing', heating: 'printing', error: 'error', printer_error: 'error',
  attention: 'attention', not_connected: 'offline',
};
const OUTCOMES = { done: 'done', finished: 'done', completed: 'done', cancelled: 'cancelled', failed: 'error', error: 'error' };

async function poll(device, { timeoutMs = 8000, now = Date.now, openJob = null, base = device.api_ip ? baseUrl(device.api_ip) : PUBLIC } = {}) {
  const pid = Number(device.simplyprint_id);
  if (!Number.isInteger(pid) || pid <= 0) throw new PollError('config', 'simplyprint_id must be the number of the printer in SimplyPrint.');
  if (!device.sp_company_id || !device.sp_api_key) throw new PollError('config', 'SimplyPrint needs sp_company_id and sp_api_key (its panel shows both under API).');
  const root = `${base}/${encodeURIComponent(device.sp_company_id)}`;
  const url = `${root}/printers/Get`;
  const request = { headers: { 'x-api-key': device.sp_api_key }, signal: AbortSignal.timeout(timeoutMs) };
  const answer = await send(url, { ...request, method: 'POST', body: JSON.stringify({ pid }) });
  const status = fromSimplyPrint(device, now(), json(answer, url), pid);
  const uid = openJob?.simplyprint_job_id;
  if (!uid || uid === status.simplyprint_job_id) return status;
  return { ...status, recent_jobs: await pastJob(`${root}/jobs/GetDetails?id=${encodeURIComponent(uid)}`, request, openJob) };
}

/** An ended print is gone from the printer's answer: how it ended is told under its uid. No word of it is no error. */
async function pastJob(url, request, openJob) {
  try {
    const outcome = OUTCOMES[(text(part(json(await send(url, request), url), 'job').state) ?? '').toLowerCase()];
    return outcome === undefined ? [] : [{ source_job_id: openJob.source_job_id, outcome }];
  } catch {
    return [];
  }
}

function fromSimplyPrint(device, now, envelope, pid) {
  if (envelope.status === false) refuse(text(envelope.message) ?? 'no reason given');
  const found = Array.isArray(envelope.data) ? envelope.data.find((entry) => entry?.id === pid) : envelope.data;
  if (typeof found?.printer !== 'object' || found.printer === null) {
    throw new PollError('payload', `SimplyPrint did not tell about printer ${pid}: check simplyprint_id.`);
  }
  const { printer } = found;
  if (printer.online === false) throw new PollError('not_connected', 'SimplyPrint says that the printer is offline: switch it on.');
  const temps = part(printer, 'temps');
  const job = part(found, 'job');
  const word = text(printer.state) ?? '';
  const state = STATES[word.toLowerCase()] ?? 'unknown';
  if (state === 'offline') throw new PollError('not_connected', 'SimplyPrint says that the printer is offline: switch it on.');
  const ended = state === 'printing' || state === 'paused' || state === 'attention' ? null : OUTCOMES[(text(job.state) ?? '').toLowerCase()] ?? null;
  return makeStatus(device, now, {
    api: 'simplyprint',
    state,
    state_text: text(printer.state),
    is_operational: state !== 'error' && state !== 'unknown',
    is_printing: state === 'printing',
    is_paused: state === 'paused',
    is_error: state === 'error',
    is_busy: ['pausing', 'resuming', 'cancelling', 'finishing'].includes(word.toLowerCase()),
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
    job_outcome: id(job.id) === null ? null : ended,
  });
}

function tool(temps, which) {
  const tools = part(temps, which).tool;
  return number(Array.isArray(tools) ? tools[0] : tools);
}

/** The spool in the first extruder. */
function material(filament) {
  const spool = Array.isArray(filament) ? filament[0] : filament?.type === undefined ? Object.values(filament ?? {})[0] : filament;
  return text(spool?.type?.name ?? spool?.type, 40);
}

function refuse(message) {
  const auth = /key|auth|permission|denied|login/i.test(message);
  throw new PollError(auth ? 'auth' : 'http', `SimplyPrint refused: ${message.replace(/\.+$/, '')}. Check sp_api_key, sp_company_id and simplyprint_id.`);
}

module.exports = { poll, fromSimplyPrint };
