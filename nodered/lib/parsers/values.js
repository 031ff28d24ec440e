'use strict';
// Reading values out of payloads that nobody promised us: no check here throws.

// Nothing that a workshop measures (W, Wh, V, A, °C) is larger; beyond it the value is garbage that would only make the
// batch fail in SQL.
const LARGEST = 1e15;
// PostgreSQL refuses a value that underflows `real`; such a value is zero for every purpose here.
const SMALLEST = 1e-30;
const MAX_PAYLOAD = 64 * 1024;
// What some firmwares write where JSON has no number: the field is unknown, the rest of the message is not.
const NO_NUMBER = /([:,[]\s*)[-+]?(?:nan|inf(?:inity)?)(?=\s*[,}\]])/gi;
const NUMBER_TEXT = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$/;

/**
 * What kind of thing a value is, for a reject sentence. The value itself stays out: equal faults must give equal
 * sentences, which are counted as one.
 * @param {unknown} value
 * @returns {string}
 */
function describe(value) {
  if (value === null) return 'null';
  if (value === undefined) return 'missing';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string': return 'text';
    case 'boolean': return 'true or false';
    case 'object': return 'an object';
    default: return 'out of range';
  }
}

/**
 * A finite number in a sane range.
 * @param {unknown} value
 * @param {string} name  of the field
 * @param {string[]} problems  gets a sentence that names the field when the value is refused
 * @returns {number | null} null when it is refused
 */
function measure(value, name, problems) {
  if (typeof value === 'number' && value <= LARGEST && value >= -LARGEST) {
    return value < SMALLEST && value > -SMALLEST ? 0 : value;
  }
  problems.push(`${name} must be a number, but is ${describe(value)}`);
  return null;
}

/**
 * A counter: a measure that is not negative.
 * @param {unknown} value
 * @param {string} name
 * @param {string[]} problems
 * @returns {number | null}
 */
function counter(value, name, problems) {
  const read = measure(value, name, problems);
  if (read !== null && read < 0) {
    problems.push(`${name} is a counter and cannot be negative`);
    return null;
  }
  return read;
}

/**
 * Drawn power is not negative. What is fed back (or wired the wrong way round) is reported and left out, so that the
 * counter next to it stays.
 * @param {number} watts
 * @param {string} name
 * @param {string[]} problems
 * @returns {number | null}
 */
function drawn(watts, name, problems) {
  if (watts >= 0) return watts;
  problems.push(`${name} is negative (fed back, or the meter is wired the wrong way round) and was left out`);
  return null;
}

/**
 * A number written as text (Gen1 topics, the ESP32 hub, Tasmota's Total).
 * @param {string} text
 * @returns {number} NaN when it is not one
 */
function numberFromText(text) {
  const trimmed = text.trim();
  return trimmed.length <= 40 && NUMBER_TEXT.test(trimmed) ? Number(trimmed) : NaN;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>} a list is not one
 */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The JSON object in a payload.
 * @param {unknown} payload
 * @returns {{value: Record<string, unknown>, problem?: undefined} | {problem: string}}
 */
function jsonObject(payload) {
  if (typeof payload !== 'string') return { problem: 'the payload is not text' };
  if (payload.length > MAX_PAYLOAD) return { problem: `the payload is larger than ${MAX_PAYLOAD / 1024} kB` };
  const value = parsed(payload) ?? parsed(payload.replace(NO_NUMBER, '$1null'));
  if (value === undefined) {
    return { problem: payload.trim() === '' ? 'the payload is empty' : 'the payload is not valid JSON' };
  }
  return isObject(value) ? { value } : { problem: `the payload must be a JSON object, but is ${describe(value)}` };
}

/**
 * @param {string} text
 * @returns {unknown} undefined when it is not JSON
 */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Meter and sensor ids come from topics: they must be bounded and printable, so that they can be in a key and on a
 * page.
 * @param {string} id
 * @returns {string | null} what is wrong with it
 */
function idProblem(id) {
  if (id.length === 0) return 'the topic has no device id';
  if (id.length > 128) return 'the device id in the topic is longer than 128 characters';
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f+#]/.test(id)) return 'the device id in the topic has characters that are not allowed';
  return null;
}

module.exports = { describe, measure, counter, drawn, numberFromText, isObject, jsonObject, idProblem };
