'use strict';
// What the Devices API accepts, and how the result of a test is told. Every refusal is a sentence with its remedy.

const { SOURCES } = require('./printers');

const DEVICE_TYPES = ['printer', 'compressor', 'hvac', 'motor', 'pump', 'injection_molding', 'conveyor', 'boiler', 'other'];
const DEVICE_SOURCES = [...SOURCES, 'mqtt', 'none'];
const PLANT_TYPES = ['generic_plant', 'corn', 'sunflower', 'tomato'];
const DEVICE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const PLUG_SILENT_S = 600;
const CREDENTIALS = ['api_key', 'sp_api_key', 'gcode_preview_api_key'];

// field → check(value) → what is wrong (the end of "<field> must …"), or null.
const words = (limit) => (value) => {
  if (typeof value !== 'string') return 'be text';
  if (value.length > limit) return `be at most ${limit} characters`;
  // eslint-disable-next-line no-control-regex
  return /[\u0000-\u0008\u000b-\u001f\u007f]/.test(value) || !value.isWellFormed() ? 'not hold control characters' : null;
};
const oneOf = (list) => (value) => (list.includes(value) ? null : `be one of ${list.join(', ')}`);
const between = (low, high, unit) => (value) =>
  (typeof value === 'number' && value >= low && value <= high ? null : `be a number from ${low} to ${high} (${unit})`);
const whole = (low, high, unit) => (value) =>
  (Number.isInteger(value) && value >= low && value <= high ? null : `be a whole number from ${low} to ${high} (${unit})`);
const topic = (value) => words(200)(value) ?? (/[+#\s]/.test(value) ? 'be an MQTT topic without spaces, + and #' : value.startsWith('/') || value.endsWith('/') ? 'not begin or end with /' : null);

const FIELDS = {
  device_id: (value) => (typeof value === 'string' && DEVICE_ID.test(value) ? null : 'be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit'),
  device_type: oneOf(DEVICE_TYPES),
  friendly_name: (value) => words(120)(value) ?? (value.trim() === '' ? 'not be empty' : null),
  device_model: words(120),
  location: words(200),
  notes: words(4000),
  printer_size_category: words(40),
  bed_width: between(1, 10_000, 'mm'),
  bed_depth: between(1, 10_000, 'mm'),
  rated_power_w: between(0.1, 10_000_000, 'W'),
  idle_power_w: between(0, 10_000_000, 'W'),
  data_interval_seconds: whole(2, 3600, 's'),
  mqtt_topic: topic,
  source: oneOf(DEVICE_SOURCES),
  api_ip: address,
  api_key: words(512),
  simplyprint_id: (value) => (/^\d{1,12}$/.test(String(value)) ? null : 'be the number of the printer in SimplyPrint'),
  sp_company_id: words(64),
  sp_api_key: words(512),
  gcode_preview_host: address,
  gcode_preview_api_key: words(512),
  shelly_id: topic,
  plant_type: oneOf(PLANT_TYPES),
  is_active: (value) => (typeof value === 'boolean' ? null : 'be true or false'),
  factory_id: (value) => (/^[0-9a-f-]{36}$/i.test(String(value)) ? null : 'be a UUID'),
};
const NEVER_NULL = new Set(['device_id', 'device_type', 'friendly_name', 'data_interval_seconds', 'source', 'plant_type', 'is_active', 'factory_id']);
const NEEDED = { prusalink: ['api_ip', 'api_key'], octoprint: ['api_ip', 'api_key'], moonraker: ['api_ip'], simplyprint: ['simplyprint_id', 'sp_company_id', 'sp_api_key'] };

/** host, host:port or http(s) URL; no credentials in it, they have their own field. */
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

/**
 * Checks the body of POST (a whole device) or PATCH (`partial`, the device is `existing`).
 * @returns {{device: object, errors: string[]}} the device with trimmed texts and empty texts as null; use it only when errors is empty
 */
function validateDevice(body, { partial = false, existing = null } = {}) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return { device: {}, errors: ['The body must be a JSON object with the fields of a device.'] };
  }
  const errors = [];
  const device = {};
  const refused = new Set();
  for (const [field, raw] of Object.entries(body)) {
    if (!Object.hasOwn(FIELDS, field)) {
      errors.push(`"${field.slice(0, 64)}" is not a field of a device: leave it out, or use one of ${Object.keys(FIELDS).join(', ')}.`);
      continue;
    }
    const value = tidy(raw);
    const wrong = value === null ? (NEVER_NULL.has(field) ? 'not be empty' : null) : FIELDS[field](value);
    if (wrong === null) device[field] = field === 'simplyprint_id' && value !== null ? String(value) : value;
    else {
      errors.push(`${field} must ${wrong}.`);
      refused.add(field);
    }
  }
  if (partial && device.device_id !== undefined && existing && device.device_id !== existing.device_id) {
    errors.push('device_id cannot be changed: its history hangs on it. Add a new device instead.');
  }
  if (!partial) {
    if (body.device_id === undefined) errors.push('device_id is missing: give the device a short name such as PrusaMK4-1.');
    device.friendly_name ??= device.device_id;
  }
  errors.push(...missingForSource({ ...existing, ...device }, partial && existing === null, refused));
  return { device, errors };
}

const tidy = (value) => (typeof value === 'string' ? (value.trim() === '' ? null : value.trim()) : value === undefined ? null : value);

function missingForSource(device, unknown, refused) {
  if (unknown) return [];
  return (NEEDED[device.source] ?? []).filter((field) => device[field] == null && !refused.has(field) && device[`has_${field}`] !== true)
    .map((field) => `${field} is missing: source ${device.source} needs it.`);
}

/** The device as it may be shown: without credentials, but telling which are set. */
function withoutCredentials(device) {
  const shown = { ...device };
  for (const field of CREDENTIALS) {
    shown[`has_${field}`] = Boolean(shown[field]);
    delete shown[field];
  }
  delete shown.open_job;
  delete shown.latest;
  return shown;
}

/**
 * What a test found, as sentences for a person.
 * @param {{device: object, status?: object, error?: Error, power?: {power_watts, power_at, meter_id}|null}} result
 * @param {number} now  ms
 * @returns {{ok: boolean, printer: string, plug: string, plugOk: boolean}}  ok: the printer answers; plugOk: the plug has just said something
 */
function describeTest({ device, status = null, error = null, power = null }, now = Date.now()) {
  const plugOk = power?.power_at != null && now - new Date(power.power_at).getTime() <= PLUG_SILENT_S * 1000;
  return { ok: error === null, printer: describePrinter(device, status, error), plug: describePlug(device, power, now), plugOk };
}

function describePrinter(device, status, error) {
  if (error !== null) return error.message;
  if (status === null) return `Source "${device.source}" is not asked: the device reports by itself or has no printer interface.`;
  const parts = [`It answers (${status.api}): ${status.state}`];
  if (status.nozzle_temp_actual !== null) parts.push(`nozzle ${degrees(status.nozzle_temp_actual, status.nozzle_temp_target)}`);
  if (status.bed_temp_actual !== null) parts.push(`bed ${degrees(status.bed_temp_actual, status.bed_temp_target)}`);
  if (status.filename !== null) parts.push(`file ${status.filename}${status.progress_percent === null ? '' : ` at ${Math.round(status.progress_percent)} %`}`);
  return `${parts.join(', ')}.`;
}

const degrees = (actual, target) => `${Math.round(actual)} °C${target ? ` of ${Math.round(target)} °C` : ''}`;

function describePlug(device, power, now) {
  if (!device.shelly_id && power === null) return 'No plug is assigned: set shelly_id to the id of its plug (for one channel, id/switch:1).';
  const name = power?.meter_id ?? device.shelly_id;
  if (power?.power_at == null) return `The plug ${name} has not sent anything yet: is MQTT on in its settings, with this broker and the device user?`;
  const age = Math.round((now - new Date(power.power_at).getTime()) / 1000);
  const said = power.power_watts === null ? 'its counter' : `${Math.round(power.power_watts * 10) / 10} W`;
  return age > PLUG_SILENT_S ? `The plug ${name} said ${said}, but that was ${Math.round(age / 60)} minutes ago: is it online?` : `The plug ${name} said ${said} ${age} s ago.`;
}

module.exports = { validateDevice, describeTest, withoutCredentials };
