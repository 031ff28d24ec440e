'use strict';
// The ESP32 sensor hub: `esp32/<org>/<sensor>/<quantity>[/<axis>]`, one number as text, no time of its own. What
// belongs to one sample comes in separate messages (three axes; temperature and humidity): they are paired by arrival.

/** @import { Arrival, ParserResult, Protocol, Sample, SampleColumn, SampleKind } from '../types' */

const { numberFromText, idProblem, measure } = require('./values');
const { refused, ignored } = require('./reading');

/** @type {Protocol} */
const PROTOCOL = 'esp32';
const TOPIC = /^esp32\/(.+)\/(dht22|mpu6050|max6675)\/([a-z_]+(?:\/[xyz])?)$/;
// The hub reports every 5 s; the messages of one sample follow each other within a few hundred ms.
const PAIR_WINDOW_MS = 2000;
const LAST_TEMPERATURE_MS = 30_000;

/**
 * @typedef {{at: number, sample: Sample}} Unfinished  at: milliseconds since 1970, of its first part
 * @typedef {{temperature?: {value: number, at: number}} & {[Kind in SampleKind]?: Unfinished}} Memory
 *   the unfinished samples of a hub, and the last temperature of its accelerometer chip
 * @typedef {ParserResult<Memory> & {samples: Sample[]}} Result
 */

/**
 * One line per kind of sample (as record_sensor and record_environment name them) and which topic fills which of its
 * values.
 * @type {Record<SampleKind, {sensor: string, columns: Record<string, SampleColumn>}>}
 */
const SAMPLES = {
  environment: { sensor: 'dht22', columns: { temperature_c: 'temperature_c', humidity: 'humidity_pct' } },
  mpu6050_accelerometer: { sensor: 'mpu6050', columns: { 'accel/x': 'x', 'accel/y': 'y', 'accel/z': 'z' } },
  mpu6050_gyroscope: { sensor: 'mpu6050', columns: { 'gyro/x': 'x', 'gyro/y': 'y', 'gyro/z': 'z' } },
  max6675_temperature: { sensor: 'max6675', columns: { temperature_c: 'temperature_c' } },
};
/** @type {Map<string, Map<string, SampleKind>>}  sensor → quantity → kind */
const KINDS = new Map();
for (const kind of /** @type {SampleKind[]} */ (Object.keys(SAMPLES))) {
  const { sensor, columns } = SAMPLES[kind];
  const kinds = KINDS.get(sensor) ?? new Map();
  for (const quantity of Object.keys(columns)) kinds.set(quantity, kind);
  KINDS.set(sensor, kinds);
}

/**
 * @param {string} topic
 * @param {unknown} payload
 * @param {Memory | null} [previous]  of this hub, as the last call returned it
 * @param {Arrival} [message]  its arrival decides what belongs together
 * @returns {Result} a sample is complete, or so old that its missing parts will not come
 */
function parse(topic, payload, previous = null, message = {}) {
  const match = TOPIC.exec(topic);
  if (match === null) return refuse('not a topic of the sensor hub', previous);
  const [, org, sensor, quantity] = match;
  const bad = idProblem(org);
  if (bad !== null) return refuse(bad, previous);
  if (typeof payload !== 'string') return refuse('the payload is not text', previous);
  const number = numberFromText(payload);
  const name = `${sensor}/${quantity}`;
  if (Number.isNaN(number)) return refuse(`${name} must be one number as text`, previous);
  /** @type {string[]} */
  const problems = [];
  const value = measure(number, name, problems);
  if (value === null) return refuse(problems[0], previous);
  if (quantity === 'humidity' && (value < 0 || value > 100)) return refuse(`${name} must be 0 to 100 %`, previous);

  const at = Date.parse(message.arrived ?? '');
  if (sensor === 'mpu6050' && quantity === 'temperature_c') {
    return ignore('kept for the next accelerometer sample', { ...previous, temperature: { value, at } });
  }
  const kind = KINDS.get(sensor)?.get(quantity);
  if (kind === undefined) return ignore(`${name} is not recorded`, previous);
  return pair(kind, org, quantity, value, at, previous, message);
}

/**
 * @param {string} reason
 * @param {Memory | null} previous
 * @returns {Result}
 */
const refuse = (reason, previous) => ({ ...refused(reason, previous), samples: [] });

/**
 * @param {string} why
 * @param {Memory | null} previous
 * @param {Sample[]} [samples]
 * @returns {Result}
 */
const ignore = (why, previous, samples = []) => ({ ...ignored(why, previous), samples });

/**
 * Puts a value into the sample to which it belongs.
 * @param {SampleKind} kind
 * @param {string} org
 * @param {string} quantity
 * @param {number} value
 * @param {number} at  milliseconds since 1970
 * @param {Memory | null} previous
 * @param {Arrival} message
 * @returns {Result}
 */
function pair(kind, org, quantity, value, at, previous, message) {
  const { columns, sensor } = SAMPLES[kind];
  const column = columns[quantity];
  /** @type {Sample[]} */
  const samples = [];
  let open = previous?.[kind];
  if (open !== undefined && at - open.at > PAIR_WINDOW_MS) {
    samples.push(open.sample);
    open = undefined;
  } else if (open?.sample[column] === value) {
    return ignore('repeated message', previous, samples);
  } else if (open !== undefined && open.sample[column] !== null) {
    samples.push(open.sample);
    open = undefined;
  }
  const sample = open === undefined ? emptySample(kind, org, sensor, columns, message) : { ...open.sample };
  sample[column] = value;
  if (kind === 'mpu6050_accelerometer') sample.temperature_c = recentTemperature(previous, at);

  const complete = Object.values(columns).every((name) => sample[name] !== null);
  if (complete) samples.push(sample);
  const unfinished = complete ? undefined : { at: open?.at ?? at, sample };
  return { readings: [], samples, reject: null, previous: { ...previous, [kind]: unfinished } };
}

/**
 * @param {SampleKind} kind
 * @param {string} org
 * @param {string} sensor
 * @param {Record<string, SampleColumn>} columns
 * @param {Arrival} message
 * @returns {Sample}
 */
function emptySample(kind, org, sensor, columns, message) {
  /** @type {Sample} */
  const sample = {
    kind, sensor_id: `${org}/${sensor}`, location_id: org, source: sensor,
    arrived: message.arrived ?? null, backlog: message.backlog === true,
  };
  for (const column of Object.values(columns)) sample[column] = null;
  return sample;
}

/**
 * @param {Memory | null} previous
 * @param {number} at
 */
function recentTemperature(previous, at) {
  const last = previous?.temperature;
  return last !== undefined && at - last.at <= LAST_TEMPERATURE_MS ? last.value : null;
}

/**
 * The device part of a topic.
 * @param {string} topic
 * @returns {string | null} null when the topic is not of this family
 */
const device = (topic) => TOPIC.exec(topic)?.[1] ?? null;

module.exports = { protocol: PROTOCOL, device, parse };
