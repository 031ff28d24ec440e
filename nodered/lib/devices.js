'use strict';
// What the Devices API accepts, and how the result of a test is told. Every refusal is a sentence with its remedy. Which
// kinds and sources there are is in the database, which refuses others with a sentence of its own.

/** @import { Device, PlugPower, PrinterStatus } from './types' */

const PLANT_TYPES = ['generic_plant', 'corn', 'sunflower', 'tomato'];
const DEVICE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const PLUG_SILENT_S = 600;

/**
 * @callback Check
 * @param {any} value  decoded JSON, not null
 * @returns {string | null} what is wrong, as the end of "<field> must …"
 */

/** @typedef {Record<string, any>} DeviceFields  fields of a device as they came in, or as they go to device_save */

/**
 * @param {number} limit  characters
 * @returns {Check}
 */
const words = (limit) => (value) => {
  if (typeof value !== 'string') return 'be text';
  if (value.length > limit) return `be at most ${limit} characters`;
  // eslint-disable-next-line no-control-regex
  const isControlled = /[\u0000-\u0008\u000b-\u001f\u007f]/.test(value) || !value.isWellFormed();
  return isControlled ? 'not hold control characters' : null;
};

/**
 * @param {string[]} list
 * @returns {Check}
 */
const oneOf = (list) => (value) => (list.includes(value) ? null : `be one of ${list.join(', ')}`);

/**
 * @param {number} low
 * @param {number} high
 * @param {string} unit
 * @returns {Check}
 */
const between = (low, high, unit) => (value) => {
  const fits = typeof value === 'number' && value >= low && value <= high;
  return fits ? null : `be a number from ${low} to ${high} (${unit})`;
};

/**
 * @param {number} low
 * @param {number} high
 * @param {string} unit
 * @returns {Check}
 */
const whole = (low, high, unit) => (value) => {
  const fits = Number.isInteger(value) && value >= low && value <= high;
  return fits ? null : `be a whole number from ${low} to ${high} (${unit})`;
};

/**
 * @param {RegExp} pattern
 * @param {string} sentence
 * @returns {Check}
 */
const like = (pattern, sentence) => (value) => (pattern.test(String(value)) ? null : sentence);

/** @type {Check} */
function deviceId(value) {
  if (typeof value === 'string' && DEVICE_ID.test(value)) return null;
  return 'be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit';
}

/** @type {Check} */
function topic(value) {
  const wrong = words(200)(value);
  if (wrong !== null) return wrong;
  if (/[+#\s]/.test(value)) return 'be an MQTT topic without spaces, + and #';
  return value.startsWith('/') || value.endsWith('/') ? 'not begin or end with /' : null;
}

/**
 * host, host:port or http(s) URL; no credentials in it, they have their own field.
 * @type {Check}
 */
function address(value) {
  const wrong = words(300)(value);
  if (wrong !== null) return wrong;
  let url;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(value) ? value : `http://${value}`);
  } catch {
    return 'be a host name, an IP address, host:port or an http(s) URL';
  }
  if (!['http:', 'https:'].includes(url.protocol)) return 'begin with http:// or https:// when it is a URL';
  if (url.username !== '' || url.password !== '') return 'not hold a password: use api_key';
  return url.search !== '' || url.hash !== '' || /\s/.test(value) ? 'be only a host and a path' : null;
}

/** @type {Record<string, Check>} */
const FIELDS = {
  device_id: deviceId,
  device_type: words(41),
  friendly_name: (value) => words(120)(value) ?? (value.trim() === '' ? 'not be empty' : null),
  device_model: words(120),
  location: words(200),
  notes: words(2000),
  printer_size_category: words(40),
  bed_width: between(1, 10_000, 'mm'),
  bed_depth: between(1, 10_000, 'mm'),
  rated_power_w: between(0.1, 10_000_000, 'W'),
  idle_power_w: between(0, 10_000_000, 'W'),
  data_interval_seconds: whole(1, 3600, 's'),
  mqtt_topic: topic,
  source: words(41),
  api_ip: address,
  api_key: words(512),
  simplyprint_id: like(/^\d{1,12}$/, 'be the number of the printer in SimplyPrint'),
  sp_company_id: words(64),
  sp_api_key: words(512),
  gcode_preview_host: address,
  gcode_preview_api_key: words(512),
  shelly_id: topic,
  plant_type: oneOf(PLANT_TYPES),
  is_active: (value) => (typeof value === 'boolean' ? null : 'be true or false'),
  factory_id: like(/^[0-9a-f-]{36}$/i, 'be a UUID'),
};
const NEVER_NULL = new Set([
  'device_id', 'device_type', 'friendly_name', 'data_interval_seconds', 'source', 'plant_type', 'is_active',
  'factory_id',
]);
const NEEDED = new Map(Object.entries({
  prusalink: ['api_ip', 'api_key'],
  octoprint: ['api_ip', 'api_key'],
  moonraker: ['api_ip'],
  simplyprint: ['simplyprint_id', 'sp_company_id', 'sp_api_key'],
}));

/**
 * Checks the body of POST (a whole device) or PATCH (`partial`: some of its fields).
 * @param {unknown} body  decoded JSON
 * @param {{partial?: boolean, sources?: string[]}} [options]  sources: all that there are, for a device that will not be
 *   stored
 * @returns {{device: DeviceFields, errors: string[]}} the device with trimmed texts and empty texts as null; use it
 *   only when errors is empty
 */
function validateDevice(body, { partial = false, sources } = {}) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return { device: {}, errors: ['The body must be a JSON object with the fields of a device.'] };
  }
  const fields = /** @type {DeviceFields} */ (body);
  const { device, errors, refused } = checkFields(fields);
  if (!partial) {
    if (fields.device_id === undefined) {
      errors.push('device_id is missing: give the device a short name such as PrusaMK4-1.');
    }
    device.friendly_name ??= device.device_id;
    errors.push(...missingForSource(device, refused));
    if (sources?.includes(device.source ?? 'none') === false) errors.push(`source must be one of ${sources.join(', ')}.`);
  }
  return { device, errors };
}

/**
 * Each field by itself.
 * @param {DeviceFields} fields
 */
function checkFields(fields) {
  /** @type {DeviceFields} */
  const device = {};
  /** @type {string[]} */
  const errors = [];
  /** @type {Set<string>} */
  const refused = new Set();
  for (const [field, raw] of Object.entries(fields)) {
    if (!Object.hasOwn(FIELDS, field)) {
      const known = Object.keys(FIELDS).join(', ');
      errors.push(`"${field.slice(0, 64)}" is not a field of a device: leave it out, or use one of ${known}.`);
      continue;
    }
    const value = tidy(raw);
    const wrong = value !== null ? FIELDS[field](value) : NEVER_NULL.has(field) ? 'not be empty' : null;
    if (wrong === null) device[field] = field === 'simplyprint_id' && value !== null ? String(value) : value;
    else {
      errors.push(`${field} must ${wrong}.`);
      refused.add(field);
    }
  }
  return { device, errors, refused };
}

/**
 * The value, trimmed; null for none and for empty text.
 * @param {any} value
 */
function tidy(value) {
  if (typeof value !== 'string') return value === undefined ? null : value;
  return value.trim() === '' ? null : value.trim();
}

/**
 * What the source of a device needs and the device lacks, as sentences.
 * @param {DeviceFields} device
 * @param {Set<string>} refused  these have got their sentence already
 * @returns {string[]}
 */
function missingForSource(device, refused) {
  return (NEEDED.get(device.source) ?? [])
    .filter((field) => device[field] == null && !refused.has(field))
    .map((field) => `${field} is missing: source ${device.source} needs it.`);
}

/**
 * What a test found, as sentences for a person.
 * @param {object} found
 * @param {Pick<Device, 'source' | 'shelly_id'>} found.device
 * @param {PrinterStatus | null} [found.status]
 * @param {Error | null} [found.error]  why there is no status
 * @param {PlugPower | null} [found.power]
 * @param {number} [now]  milliseconds since 1970
 * @returns {{ok: boolean, printer: string, plug: string, plugOk: boolean}} ok: the printer answers; plugOk: the plug
 *   reported something within ten minutes
 */
function describeTest({ device, status = null, error = null, power = null }, now = Date.now()) {
  const plugOk = power?.power_at != null && now - new Date(power.power_at).getTime() <= PLUG_SILENT_S * 1000;
  const printer = describePrinter(device, status, error);
  return { ok: error === null, printer, plug: describePlug(device, power, now), plugOk };
}

/**
 * @param {Pick<Device, 'source'>} device
 * @param {PrinterStatus | null} status
 * @param {Error | null} error
 */
function describePrinter(device, status, error) {
  if (error !== null) return error.message;
  if (status === null) {
    return `Source "${device.source}" is not asked: the device reports by itself or has no printer interface.`;
  }
  const { nozzle_temp_actual: nozzle, bed_temp_actual: bed, filename, progress_percent: progress } = status;
  const parts = [`It answers (${status.api}): ${status.state}`];
  if (nozzle !== null) parts.push(`nozzle ${degrees(nozzle, status.nozzle_temp_target)}`);
  if (bed !== null) parts.push(`bed ${degrees(bed, status.bed_temp_target)}`);
  if (filename !== null) parts.push(`file ${filename}${progress === null ? '' : ` at ${Math.round(progress)} %`}`);
  return `${parts.join(', ')}.`;
}

/**
 * @param {number} actual
 * @param {number | null} target
 */
const degrees = (actual, target) => `${Math.round(actual)} °C${target ? ` of ${Math.round(target)} °C` : ''}`;

/**
 * @param {Pick<Device, 'shelly_id'>} device
 * @param {PlugPower | null} power
 * @param {number} now
 */
function describePlug(device, power, now) {
  if (!device.shelly_id && power === null) {
    return 'No plug is assigned: set shelly_id to the id of its plug (for one channel, id/switch:1).';
  }
  const name = power?.meter_id ?? device.shelly_id;
  if (power?.power_at == null) {
    const question = 'is MQTT on in its settings, with this broker and the device user?';
    return `The plug ${name} has not sent anything yet: ${question}`;
  }
  const age = Math.round((now - new Date(power.power_at).getTime()) / 1000);
  const said = power.power_watts === null ? 'its counter' : `${Math.round(power.power_watts * 10) / 10} W`;
  return age > PLUG_SILENT_S
    ? `The plug ${name} said ${said}, but that was ${Math.round(age / 60)} minutes ago: is it online?`
    : `The plug ${name} said ${said} ${age} s ago.`;
}

module.exports = { validateDevice, describeTest };
