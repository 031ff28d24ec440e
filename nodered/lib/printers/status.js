'use strict';
// The status for record_status, made from what a printer says: checked, bounded, null where it says nothing.

/** @import { PrinterStatus, Said } from '../types' */

const MAX_ELAPSED_S = 90 * 86_400;
const BELOW_TARGET_C = 5;

/** @type {Omit<PrinterStatus, 'device_id' | 'timestamp'>} */
const EMPTY = {
  state: 'unknown', state_text: null, is_operational: null, is_printing: null, is_paused: null, is_error: null,
  is_busy: null, is_sd_ready: null, nozzle_temp_actual: null, nozzle_temp_target: null, bed_temp_actual: null,
  bed_temp_target: null, z_height_mm: null, speed_multiplier_percent: null, fan_rpm: null, material: null,
  filename: null, progress_percent: null, time_left_seconds: null, source_job_id: null, simplyprint_job_id: null,
  elapsed_seconds: null, filament_used_mm: null, filament_used_g: null, job_outcome: null, silence_means: null,
  recent_jobs: [], download_ref: null, api: null,
};

/**
 * A finite number within a range. Numbers below what `real` can hold are zero.
 * @param {unknown} value
 * @param {number} [low]
 * @param {number} [high]
 * @returns {number | null} null when it is not one, or out of range
 */
function number(value, low = -1e6, high = 1e6) {
  if (typeof value !== 'number' || !(value >= low && value <= high)) return null;
  return Math.abs(value) < 1e-30 ? 0 : value;
}

/**
 * Text from outside that PostgreSQL and JSON can hold: no control characters, no half surrogate pairs, bounded.
 * @param {unknown} value
 * @param {number} [limit]  characters
 * @returns {string | null} null when it is not one, or empty
 */
function text(value, limit = 255) {
  if (typeof value !== 'string') return null;
  // eslint-disable-next-line no-control-regex
  const clean = value.replace(/[\u0000-\u001f\u007f]+/g, ' ').trim().slice(0, limit).toWellFormed();
  return clean === '' ? null : clean;
}

/**
 * A job id: number or text, as text.
 * @param {unknown} value
 * @returns {string | null}
 */
const id = (value) => (Number.isFinite(value) ? String(value) : text(value, 128));

/**
 * The object at a key, or an empty one: printers leave out what they don't know.
 * @param {any} object
 * @param {string} key
 * @returns {Said}
 */
function part(object, key) {
  const found = object?.[key];
  return typeof found === 'object' && found !== null && !Array.isArray(found) ? found : {};
}

/**
 * What a word of a printer means, by a table of words.
 * @template Meaning
 * @param {Record<string, Meaning>} table
 * @param {any} word
 * @returns {Meaning | null} null when it is not in the table; "constructor" is in none
 */
const meaning = (table, word) => (Object.hasOwn(table, word) ? table[word] : null);

/**
 * Checks ranges and adds what follows from the rest. A printer that says it prints (or is busy) while a heater is far
 * below its target and nothing is printed yet is heating.
 * @param {{device_id: string}} device
 * @param {number} now  milliseconds since 1970
 * @param {{[Key in keyof PrinterStatus]?: any}} fields  numbers as the printer says them
 * @returns {PrinterStatus}
 */
function makeStatus(device, now, fields) {
  /** @type {PrinterStatus} */
  const status = { device_id: device.device_id, timestamp: new Date(now).toISOString(), ...EMPTY, ...fields };
  status.nozzle_temp_actual = number(status.nozzle_temp_actual, -273.15, 2000);
  status.nozzle_temp_target = number(status.nozzle_temp_target, -273.15, 2000);
  status.bed_temp_actual = number(status.bed_temp_actual, -273.15, 2000);
  status.bed_temp_target = number(status.bed_temp_target, -273.15, 2000);
  status.progress_percent = number(status.progress_percent, -0.001, 100.5);
  if (status.progress_percent !== null) status.progress_percent = Math.min(100, Math.max(0, status.progress_percent));
  status.time_left_seconds = number(status.time_left_seconds, 0, MAX_ELAPSED_S);
  status.elapsed_seconds = number(status.elapsed_seconds, 0, MAX_ELAPSED_S);
  status.z_height_mm = number(status.z_height_mm, -100, 10_000);
  status.speed_multiplier_percent = number(status.speed_multiplier_percent, 0, 10_000);
  status.fan_rpm = number(status.fan_rpm, 0, 1e6);
  status.filament_used_mm = number(status.filament_used_mm, 0, 1e8);
  status.filament_used_g = number(status.filament_used_g, 0, 1e6);
  const works = status.state === 'printing' || (status.is_busy === true && status.state === 'idle');
  if (works && beforeMotion(status)) status.state = 'heating';
  return status;
}

/** @param {PrinterStatus} status */
function beforeMotion(status) {
  if ((status.progress_percent ?? 0) > 0) return false;
  return farBelow(status.nozzle_temp_actual, status.nozzle_temp_target)
    || farBelow(status.bed_temp_actual, status.bed_temp_target);
}

/**
 * @param {number | null} actual
 * @param {number | null} target
 */
const farBelow = (actual, target) =>
  actual !== null && target !== null && target > 0 && actual < target - BELOW_TARGET_C;

module.exports = { makeStatus, number, text, id, part, meaning };
