'use strict';
// Tasmota plugs: `tele/<topic>/SENSOR`, `stat/<topic>/STATUS10` (the same object under StatusSNS) and
// `tele/<topic>/LWT`. The topic may contain slashes, and FullTopic may have any order (`<topic>/tele/SENSOR`).
// `Time` is local without an offset and repeats itself on the autumn DST day, so device_time stays null and arrival
// counts.

/** @import { Arrival, ParserResult, PhaseValues, Protocol } from '../types' */

const { measure, counter, drawn, numberFromText, isObject, jsonObject, idProblem, describe } = require('./values');
const { reading, refused, ignored } = require('./reading');

/** @type {Protocol} */
const PROTOCOL = 'tasmota';
// FullTopic: %prefix% (tele, stat) and %topic% in any order, with fixed words anywhere.
const TOPIC = /^(?:(.+?)\/)?(tele|stat)(?:\/(.+))?\/([A-Z][A-Z0-9]*)$/;

/** @type {[string, Exclude<keyof PhaseValues, 'phase'>][]} */
const PHASE_VALUES = [
  ['Power', 'power_watts'], ['Voltage', 'voltage'], ['Current', 'current_amps'], ['Factor', 'power_factor'],
];

/** @typedef {{total_start_time: string | null}} Memory  since when the plug counts */

/** @param {number[]} list */
const sum = (list) => list.reduce((total, value) => total + value, 0);
/** @param {number[]} list */
const mean = (list) => sum(list) / list.length;

/** @param {string} topic */
function locate(topic) {
  const match = TOPIC.exec(topic);
  if (match === null) return null;
  const name = [match[1], match[3]].filter((words) => words !== undefined).join('/');
  return name === '' ? null : { name, part: match[2], word: match[4] };
}

/**
 * A number, or one per phase brought together by `combine`.
 * @param {unknown} raw
 * @param {string} name
 * @param {(values: number[]) => number} combine
 * @param {string[]} problems
 * @param {typeof measure} [read]
 * @returns {number | null} null (with a problem) when any phase is unusable
 */
function phases(raw, name, combine, problems, read = measure) {
  if (!Array.isArray(raw)) return read(raw, name, problems);
  if (raw.length === 0 || raw.length > 3) {
    problems.push(`${name} must have one to three phases, but has ${raw.length}`);
    return null;
  }
  const values = raw.map((value, phase) => read(value, `${name}[${phase}]`, problems));
  const usable = values.filter((value) => value !== null);
  return usable.length < values.length ? null : combine(usable);
}

/**
 * What was told as one number per phase.
 * @param {Record<string, unknown>} said  the object ENERGY
 * @returns {PhaseValues[]} without a quantity of which any phase is unusable
 */
function eachPhase(said) {
  /** @type {PhaseValues[]} */
  const found = [];
  for (const [key, column] of PHASE_VALUES) {
    const raw = said[key];
    const values = Array.isArray(raw) ? raw.map((item) => measure(item, key, [])) : [];
    if (values.length < 2 || values.length > 3 || values.includes(null)) continue;
    values.forEach((value, i) => { (found[i] ??= { phase: i + 1 })[column] = value ?? undefined; });
  }
  return found;
}

/**
 * Total may come as text.
 * @param {unknown} raw
 * @param {string} name
 * @param {string[]} problems
 * @returns {number | null} kWh
 */
function total(raw, name, problems) {
  if (typeof raw !== 'string') return counter(raw, name, problems);
  const value = numberFromText(raw);
  return counter(Number.isNaN(value) ? raw : value, name, problems);
}

/**
 * kWh to Wh without the binary tail (1.001 kWh is 1001 Wh); microwatt-hours are far below any plug's step.
 * @param {number} kwh
 */
const wattHours = (kwh) => Math.round(kwh * 1e9) / 1e6;

/**
 * @param {string} topic
 * @param {unknown} payload
 * @param {Memory | null} [previous]  of this plug, as the last call returned it
 * @param {Arrival} [message]
 * @returns {ParserResult<Memory>} with `detail`, whose `counter_reset` is true when TotalStartTime has changed
 */
function parse(topic, payload, previous = null, message = {}) {
  const place = locate(topic);
  if (place === null) return refused('not a Tasmota topic', previous);
  const bad = idProblem(place.name);
  if (bad !== null) return refused(bad, previous);
  if (place.word === 'LWT' && place.part === 'tele') return lastWill(place.name, payload, previous);
  const isSensor = place.part === 'tele' && place.word === 'SENSOR';
  if (!isSensor && !(place.part === 'stat' && place.word === 'STATUS10')) {
    return ignored(`${place.part} ${place.word} has no meter`, previous);
  }

  const json = jsonObject(payload);
  if (json.problem !== undefined) return refused(json.problem, previous);
  const body = isSensor ? json.value : json.value.StatusSNS;
  if (!isObject(body)) return refused(`StatusSNS must be an object, but is ${describe(body)}`, previous);
  if (body.ENERGY === undefined) return ignored(`${place.word} has no ENERGY: no meter`, previous);  // a sensor
  if (!isObject(body.ENERGY)) return refused(`ENERGY must be an object, but is ${describe(body.ENERGY)}`, previous);
  return energy(place.name, body.ENERGY, topic, previous, message);
}

/**
 * @param {string} name
 * @param {Record<string, unknown>} said  the object ENERGY
 * @param {string} topic
 * @param {Memory | null} previous
 * @param {Arrival} message
 * @returns {ParserResult<Memory>}
 */
function energy(name, said, topic, previous, message) {
  /** @type {string[]} */
  const problems = [];
  if (said.Power === undefined && said.Total === undefined) {
    return refused('ENERGY tells neither Power nor Total', previous);
  }
  const power = said.Power === undefined ? null : phases(said.Power, 'ENERGY.Power', sum, problems);
  const kwh = said.Total === undefined ? null : phases(said.Total, 'ENERGY.Total', sum, problems, total);
  const watts = power === null ? null : drawn(power, 'ENERGY.Power', problems);
  if (watts === null && kwh === null) return refused(problems.join('; '), previous);

  /**
   * @param {string} key
   * @param {(values: number[]) => number} combine
   */
  const optional = (key, combine) =>
    (said[key] === undefined ? null : phases(said[key], `ENERGY.${key}`, combine, problems));
  const values = {
    power_watts: watts,
    voltage: optional('Voltage', mean),
    current_amps: optional('Current', sum),
    power_factor: optional('Factor', mean),
    frequency_hz: optional('Frequency', mean),
  };
  const told = { ...values, phases: eachPhase(said) };
  const found = reading(name, PROTOCOL, told, kwh === null ? null : wattHours(kwh), null, topic, message);
  const before = previous?.total_start_time;
  const start = typeof said.TotalStartTime === 'string' ? said.TotalStartTime.slice(0, 40) : before ?? null;
  const detail = {
    meter_id: name,
    arrived: found.arrived,
    backlog: found.backlog,
    power_w: power,
    energy_total_kwh: kwh,
    voltage_v: values.voltage,
    current_a: values.current_amps,
    power_factor: values.power_factor,
    apparent_power_va: optional('ApparentPower', sum),
    reactive_power_var: optional('ReactivePower', sum),
    counter_reset: Boolean(before) && start !== before,
  };
  return {
    readings: [found],
    detail,
    reject: problems.length === 0 ? null : problems.join('; '),
    previous: start === before ? previous : { total_start_time: start },
  };
}

/**
 * @param {string} name
 * @param {unknown} payload
 * @param {Memory | null} previous
 * @returns {ParserResult<Memory>}
 */
function lastWill(name, payload, previous) {
  const word = typeof payload === 'string' ? payload.trim().toLowerCase() : '';
  if (word !== 'online' && word !== 'offline') return refused('LWT must be Online or Offline', previous);
  return ignored('presence', previous, { presence: { device: name, online: word === 'online' } });
}

/**
 * The device part of a topic.
 * @param {string} topic
 * @returns {string | null} null when the topic is not of this family
 */
const device = (topic) => locate(topic)?.name ?? null;

module.exports = { protocol: PROTOCOL, device, parse };
