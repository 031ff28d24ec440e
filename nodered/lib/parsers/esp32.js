'use strict';
// The ESP32 sensor hub: `esp32/<org>/<sensor>/<quantity>[/<axis>]`, one number as text, no time of its own.
// What belongs to one sample comes in separate messages (three axes; temperature and humidity): they are paired by arrival.

const { numberFromText, idProblem, measure } = require('./values');
const { refused, ignored } = require('./reading');

const PROTOCOL = 'esp32';
const TOPIC = /^esp32\/(.+)\/(dht22|mpu6050|max6675)\/([a-z_]+(?:\/[xyz])?)$/;
// The hub reports every 5 s; the messages of one sample follow each other within a few hundred ms.
const PAIR_WINDOW_MS = 2000;
const LAST_TEMPERATURE_MS = 30_000;

// One line per kind of sample (as record_sensor and record_environment name them) and which topic fills which of its values.
const SAMPLES = {
  environment: { sensor: 'dht22', columns: { temperature_c: 'temperature_c', humidity: 'humidity_pct' } },
  mpu6050_accelerometer: { sensor: 'mpu6050', columns: { 'accel/x': 'x', 'accel/y': 'y', 'accel/z': 'z' } },
  mpu6050_gyroscope: { sensor: 'mpu6050', columns: { 'gyro/x': 'x', 'gyro/y': 'y', 'gyro/z': 'z' } },
  max6675_temperature: { sensor: 'max6675', columns: { temperature_c: 'temperature_c' } },
};

function kindOf(sensor, quantity) {
  return Object.keys(SAMPLES).find((kind) => SAMPLES[kind].sensor === sensor && SAMPLES[kind].columns[quantity] !== undefined);
}

/**
 * @param {object|null} previous  the unfinished samples of this hub, and the last temperature of its accelerometer chip
 * @param {{arrived: string, backlog?: boolean}} message  arrival decides what belongs together
 * @returns {{readings: [], samples: object[], reject: string|null, previous: object, ignored?: string}}
 *   A sample is {kind, sensor_id, location_id, source, arrived, backlog, …values}, the kinds and their values as in SAMPLES (m/s², rad/s, °C, %);
 *   a part that never came is NULL in it.
 */
function parse(topic, payload, previous = null, message = {}) {
  const match = TOPIC.exec(topic);
  if (match === null) return { ...refused('not a topic of the sensor hub', previous), samples: [] };
  const [, org, sensor, quantity] = match;
  const refuse = (reason) => ({ ...refused(reason, previous), samples: [] });
  const bad = idProblem(org);
  if (bad !== null) return refuse(bad);
  if (typeof payload !== 'string') return refuse('the payload is not text');
  const number = numberFromText(payload);
  const name = `${sensor}/${quantity}`;
  if (Number.isNaN(number)) return refuse(`${name} must be one number as text`);
  const problems = [];
  const value = measure(number, name, problems);
  if (value === null) return refuse(problems[0]);
  if (quantity === 'humidity' && (value < 0 || value > 100)) return refuse(`${name} must be 0 to 100 %`);

  const at = Date.parse(message.arrived);
  if (sensor === 'mpu6050' && quantity === 'temperature_c') {
    return { ...ignored('kept for the next accelerometer sample', { ...previous, temperature: { value, at } }), samples: [] };
  }
  const kind = kindOf(sensor, quantity);
  if (kind === undefined) return { ...ignored(`${name} is not recorded`, previous), samples: [] };
  return pair(kind, org, quantity, value, at, previous, message);
}

function pair(kind, org, quantity, value, at, previous, message) {
  const { columns, sensor } = SAMPLES[kind];
  const column = columns[quantity];
  const samples = [];
  let open = previous?.[kind];
  if (open !== undefined && at - open.at > PAIR_WINDOW_MS) {
    samples.push(open.sample);
    open = undefined;
  } else if (open?.sample[column] === value) {
    return { ...ignored('repeated message', previous), samples };
  } else if (open !== undefined && open.sample[column] !== null) {
    samples.push(open.sample);
    open = undefined;
  }
  if (open === undefined) open = { at, sample: emptySample(kind, org, sensor, columns, message) };
  else open = { at: open.at, sample: { ...open.sample } };
  open.sample[column] = value;
  if (kind === 'mpu6050_accelerometer') open.sample.temperature_c = recentTemperature(previous, at);

  const complete = Object.values(columns).every((name) => open.sample[name] !== null);
  if (complete) samples.push(open.sample);
  return { readings: [], samples, reject: null, previous: { ...previous, [kind]: complete ? undefined : open } };
}

function emptySample(kind, org, sensor, columns, message) {
  const sample = {
    kind, sensor_id: `${org}/${sensor}`, location_id: org, source: sensor,
    arrived: message.arrived ?? null, backlog: message.backlog === true,
  };
  for (const column of Object.values(columns)) sample[column] = null;
  return sample;
}

function recentTemperature(previous, at) {
  const last = previous?.temperature;
  return last !== undefined && at - last.at <= LAST_TEMPERATURE_MS ? last.value : null;
}

const device = (topic) => TOPIC.exec(topic)?.[1] ?? null;

module.exports = { protocol: PROTOCOL, device, parse };
