'use strict';
// Shelly Gen2, Gen3 and Gen4 over MQTT: `<prefix>/status/<component>:N` (whole status), `<prefix>/events/rpc`
// (NotifyStatus: only what changed) and `<prefix>/online` (last will). The prefix may contain slashes.

/** @import { Arrival, MeterValues, ParserResult, PhaseValues, Protocol, Reading } from '../types' */

const { measure, counter, drawn, isObject, jsonObject, idProblem, describe } = require('./values');
const { reading, refused, ignored, online } = require('./reading');

/** @type {Protocol} */
const PROTOCOL = 'shelly_gen2';
const SINGLE = { power: 'apower', voltage: 'voltage', current: 'current', pf: 'pf', freq: 'freq' };
const SINGLE_EM = { ...SINGLE, power: 'act_power' };
/** @type {['voltage' | 'current' | 'pf' | 'freq', keyof MeterValues][]} */
const SINGLE_OPTIONAL = [
  ['voltage', 'voltage'], ['current', 'current_amps'], ['pf', 'power_factor'], ['freq', 'frequency_hz'],
];
/** @type {['act_power' | 'voltage' | 'current' | 'pf', Exclude<keyof PhaseValues, 'phase'>][]} */
const PHASE_VALUES = [
  ['act_power', 'power_watts'], ['voltage', 'voltage'], ['current', 'current_amps'], ['pf', 'power_factor'],
];
const COMPONENT = /^([a-z0-9]+):(\d{1,3})$/;

/**
 * What a reader finds in the status of a component. A field that is there but unusable is null, and named.
 * @typedef {Record<string, unknown>} Status
 * @typedef {{values: MeterValues | null, phases?: PhaseValues[]}} Values
 * @typedef {Record<string, MeterValues>} Memory  meter, for example `switch:0` → its last values
 * @typedef {{prefix: string, kind: 'rpc'} | {prefix: string, kind: 'online'}
 *   | {prefix: string, kind: 'status', component: string}} Place
 */

/**
 * One line per component. `meter` joins em with emdata: two components, one metering point.
 * @typedef {{meter: string, values?: (status: Status, problems: string[]) => Values,
 *   total?: (status: Status, problems: string[]) => number | null}} Component
 * @type {Map<string, Component>}
 */
const COMPONENTS = new Map(Object.entries({
  switch: { meter: 'switch', values: (s, p) => singlePhase(s, p, SINGLE), total: aenergyTotal },
  ...Object.fromEntries(['cover', 'light', 'cct', 'rgb', 'rgbw', 'rgbcct'].map((name) => (
    [name, { meter: name, values: (/** @type {Status} */ s, /** @type {string[]} */ p) => singlePhase(s, p, SINGLE),
      total: aenergyTotal }]))),
  pm1: { meter: 'pm1', values: (s, p) => singlePhase(s, p, SINGLE), total: aenergyTotal },
  em: { meter: 'em', values: threePhases },
  emdata: { meter: 'em', total: (s, p) => plainTotal(s, p, 'total_act') },
  em1: { meter: 'em1', values: (s, p) => singlePhase(s, p, SINGLE_EM) },
  em1data: { meter: 'em1', total: (s, p) => plainTotal(s, p, 'total_act_energy') },
}));

/**
 * @param {Status} status
 * @param {string[]} problems
 * @param {typeof SINGLE} keys
 * @returns {Values}
 */
function singlePhase(status, problems, keys) {
  /** @type {MeterValues} */
  const values = {};
  const power = status[keys.power];
  if (power !== undefined) {
    const watts = measure(power, keys.power, problems);
    values.power_watts = watts === null ? null : drawn(watts, keys.power, problems);
  }
  for (const [key, column] of SINGLE_OPTIONAL) {
    const raw = status[keys[key]];
    if (raw !== undefined) values[column] = measure(raw, keys[key], problems);
  }
  if (status.temperature !== undefined) values.plug_temp_c = temperature(status.temperature, problems);
  return { values };
}

/**
 * tC is null when the sensor is out of range: known to happen, nothing to complain about.
 * @param {unknown} raw
 * @param {string[]} problems
 */
function temperature(raw, problems) {
  if (raw === null) return null;
  if (!isObject(raw)) {
    problems.push(`temperature must be an object, but is ${describe(raw)}`);
    return null;
  }
  return raw.tC === null || raw.tC === undefined ? null : measure(raw.tC, 'temperature.tC', problems);
}

/**
 * @param {Status} status
 * @param {string[]} problems
 * @returns {Values}
 */
function threePhases(status, problems) {
  /** @type {MeterValues} */
  const values = {};
  if (status.total_act_power !== undefined) {
    const watts = measure(status.total_act_power, 'total_act_power', problems);
    values.power_watts = watts === null ? null : drawn(watts, 'total_act_power', problems);
  }
  if (status.total_current !== undefined) {
    values.current_amps = measure(status.total_current, 'total_current', problems);
  }
  if (status.a_freq !== undefined) values.frequency_hz = measure(status.a_freq, 'a_freq', problems);
  const phases = ['a', 'b', 'c'].map((name, i) => phaseOf(status, name, i + 1, problems))
    .filter((phase) => Object.keys(phase).length > 1);
  const volts = phases.map(({ voltage }) => voltage).filter((v) => v !== undefined);
  if (volts.length > 0) values.voltage = volts.reduce((sum, v) => sum + v, 0) / volts.length;
  return { values, phases };
}

/**
 * @param {Status} status
 * @param {string} name  a, b or c
 * @param {number} phase
 * @param {string[]} problems
 * @returns {PhaseValues} without what is missing, null or unusable
 */
function phaseOf(status, name, phase, problems) {
  /** @type {PhaseValues} */
  const found = { phase };
  for (const [key, column] of PHASE_VALUES) {
    const raw = status[`${name}_${key}`] ?? null;
    const value = raw === null ? null : measure(raw, `${name}_${key}`, problems);
    if (value !== null) found[column] = value;
  }
  return found;
}

/**
 * aenergy.total in Wh. by_minute differs by firmware and is never used.
 * @param {Status} status
 * @param {string[]} problems
 * @returns {number | null} Wh
 */
function aenergyTotal(status, problems) {
  if (status.aenergy === undefined) return null;
  if (isObject(status.aenergy)) return counter(status.aenergy.total, 'aenergy.total', problems);
  problems.push(`aenergy must be an object, but is ${describe(status.aenergy)}`);
  return null;
}

/**
 * @param {Status} status
 * @param {string[]} problems
 * @param {string} key
 * @returns {number | null} Wh
 */
function plainTotal(status, problems, key) {
  return status[key] === undefined ? null : counter(status[key], key, problems);
}

/**
 * @param {string} topic
 * @returns {Place | null} null when the topic is not of this family
 */
function locate(topic) {
  if (topic.endsWith('/events/rpc')) return { prefix: topic.slice(0, -11), kind: 'rpc' };
  if (topic.endsWith('/online')) return { prefix: topic.slice(0, -7), kind: 'online' };
  const cut = topic.lastIndexOf('/');
  if (cut > 7 && topic.startsWith('/status', cut - 7)) {
    return { prefix: topic.slice(0, cut - 7), kind: 'status', component: topic.slice(cut + 1) };
  }
  return null;
}

/**
 * @param {string} topic
 * @param {unknown} payload
 * @param {Memory | null} [previous]  of this prefix, as the last call returned it
 * @param {Arrival} [message]
 * @returns {ParserResult<Memory>}
 */
function parse(topic, payload, previous = null, message = {}) {
  const place = locate(topic);
  if (place === null) return refused('not a Shelly Gen2 topic', previous);
  const bad = idProblem(place.prefix);
  if (bad !== null) return refused(bad, previous);
  if (place.kind === 'online') return online(place.prefix, payload, previous);

  const known = place.kind === 'rpc' || COMPONENTS.has(place.component.split(':', 1)[0]);
  if (!known) return ignored(`${place.component} has no meter`, previous);
  const json = jsonObject(payload);
  if (json.problem !== undefined) return refused(json.problem, previous);
  if (place.kind === 'rpc') return notification(place.prefix, json.value, topic, previous, message);

  /** @type {string[]} */
  const problems = [];
  const found = channel(place.prefix, place.component, json.value, true, null, topic, previous, message, problems);
  if (found.reading === null && problems.length === 0) {  // a relay or a lamp without a meter
    return ignored(`${place.component} tells neither a power nor a counter`, found.previous);
  }
  return finish(found.reading === null ? [] : [found.reading], problems, found.previous);
}

/**
 * @param {string} prefix
 * @param {Record<string, unknown>} body
 * @param {string} topic
 * @param {Memory | null} previous
 * @param {Arrival} message
 * @returns {ParserResult<Memory>}
 */
function notification(prefix, body, topic, previous, message) {
  if (body.method === 'NotifyEvent') return ignored('NotifyEvent carries no measurement', previous);
  const full = body.method === 'NotifyFullStatus';
  if (!full && body.method !== 'NotifyStatus') {
    return refused('method must be NotifyStatus or NotifyFullStatus', previous);
  }
  if (!isObject(body.params)) return refused(`params must be an object, but is ${describe(body.params)}`, previous);

  /** @type {string[]} */
  const problems = [];
  const time = deviceTime(body.params.ts, problems);
  /** @type {Reading[]} */
  const readings = [];
  let metered = false;
  let memory = previous;
  for (const name of Object.keys(body.params)) {
    const match = COMPONENT.exec(name);
    if (match === null || !COMPONENTS.has(match[1])) continue;
    metered = true;
    const status = body.params[name];
    if (!isObject(status)) {
      problems.push(`${name} must be an object, but is ${describe(status)}`);
      continue;
    }
    const found = channel(prefix, name, status, full, time, topic, memory, message, problems);
    memory = found.previous;
    if (found.reading !== null) mergeInto(readings, found.reading);
  }
  if (Object.keys(body.params).every((key) => key === 'ts')) problems.push('params tells nothing');
  if (readings.length === 0 && problems.length === 0) {
    return ignored(metered ? 'nothing measured has changed' : 'no meter in this notification', memory);
  }
  return finish(readings, problems, memory);
}

/**
 * em and emdata of one message are one reading: what the first lacks, the second fills.
 * @param {Reading[]} readings
 * @param {Reading} found
 */
function mergeInto(readings, found) {
  const same = readings.find((r) => r.meter_id === found.meter_id);
  if (same === undefined) readings.push(found);
  else fill(same, found);
}

/**
 * @param {Record<string, any>} row
 * @param {Record<string, any>} more
 */
function fill(row, more) {
  for (const key of Object.keys(row)) row[key] = more[key] ?? row[key];
}

/**
 * params.ts in unix seconds; without NTP it counts from 1970 and still is a clock, so it is passed on.
 * @param {unknown} ts
 * @param {string[]} problems
 */
function deviceTime(ts, problems) {
  if (ts === undefined) return null;
  if (typeof ts !== 'number' || !(ts >= 0 && ts < 1e11)) {
    problems.push(`params.ts must be unix seconds, but is ${describe(ts)}`);
    return null;
  }
  return new Date(Math.round(ts * 1000)).toISOString();
}

/**
 * @param {string} prefix
 * @param {string} name  component, for example `switch:0`
 * @param {Status} status
 * @param {boolean} full  true: the whole status; false: only what changed
 * @param {string | null} time  by the device's clock
 * @param {string} topic
 * @param {Memory | null} previous
 * @param {Arrival} message
 * @param {string[]} problems
 * @returns {{reading: Reading | null, previous: Memory | null}}
 */
function channel(prefix, name, status, full, time, topic, previous, message, problems) {
  const match = COMPONENT.exec(name);
  const nothing = { reading: null, previous };
  const component = match === null ? undefined : COMPONENTS.get(match[1]);
  if (match === null || component === undefined) {
    problems.push(`${name} is not a component like switch:0`);
    return nothing;
  }
  const meter = `${component.meter}:${match[2]}`;
  const total = component.total ? component.total(status, problems) : null;
  /** @type {Values} */
  const read = component.values ? component.values(status, problems) : { values: null };

  const last = previous?.[meter];
  let values = last ?? {};
  let changed = total !== null;
  if (read.values !== null) {
    changed ||= Object.keys(read.values).length > 0 || (read.phases ?? []).length > 0;
    values = full || last === undefined ? read.values : { ...last, ...read.values };
  }
  const memory = read.values === null ? previous : { ...previous, [meter]: values };
  if (!changed || (total === null && (values.power_watts ?? null) === null)) {
    return { reading: null, previous: memory };
  }
  const told = { ...values, phases: read.phases };
  return {
    reading: reading(`${prefix}/${meter}`, PROTOCOL, told, total, time, topic, message),
    previous: memory,
  };
}

/**
 * @param {Reading[]} readings
 * @param {string[]} problems
 * @param {Memory | null} previous
 * @returns {ParserResult<Memory>}
 */
function finish(readings, problems, previous) {
  return { readings, reject: problems.length === 0 ? null : problems.join('; '), previous };
}

/**
 * The device part of a topic.
 * @param {string} topic
 * @returns {string | null} null when the topic is not of this family
 */
const device = (topic) => locate(topic)?.prefix ?? null;

module.exports = { protocol: PROTOCOL, device, parse };
