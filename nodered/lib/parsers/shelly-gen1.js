'use strict';
// Shelly Gen1 over MQTT: one number as text per topic. `shellies/<id>/relay/N/power` (W) and `/energy` (watt-minutes,
// lost on reboot), the same of rollers and lamps; `shellies/<id>/emeter/N/power|total|voltage|current|pf` (W, Wh, V, A) of the energy meters.

/** @import { Arrival, MeterValues, ParserResult, Protocol, Quantity } from '../types' */

const { numberFromText, measure, counter, drawn, idProblem } = require('./values');
const { reading, refused, ignored, online } = require('./reading');

/** @type {Protocol} */
const PROTOCOL = 'shelly_gen1';
// Two relays or the two sides of a roller may share one meter: `relay/power` without a number.
const METER_TOPIC = /(relay|emeter|roller|light)(?:\/(\d{1,2}))?(?:\/([a-z_]+))?/;
const OTHER_TOPIC = /(online|announce|info|temperature|temperature_f|overtemperature|voltage)/;
const TOPIC = new RegExp(`^shellies/([^/]+)/(?:${METER_TOPIC.source}|${OTHER_TOPIC.source})$`);
const WH_PER_WATT_MINUTE = 1 / 60;

/** @typedef {Record<string, MeterValues>} Memory  channel, for example `relay:0` → its last values */

/**
 * What each topic measures; anything else of these devices (relay position, returned energy …) carries nothing for the
 * accounts.
 * @type {Record<string, {column: Quantity, whPerUnit?: undefined} | {column?: undefined, whPerUnit: number}>}
 */
const QUANTITIES = {
  'relay/power': { column: 'power_watts' },
  'relay/energy': { whPerUnit: WH_PER_WATT_MINUTE },
  'roller/power': { column: 'power_watts' },
  'roller/energy': { whPerUnit: WH_PER_WATT_MINUTE },
  'light/power': { column: 'power_watts' },
  'light/energy': { whPerUnit: WH_PER_WATT_MINUTE },
  'emeter/power': { column: 'power_watts' },
  'emeter/total': { whPerUnit: 1 },
  'emeter/voltage': { column: 'voltage' },
  'emeter/current': { column: 'current_amps' },
  'emeter/pf': { column: 'power_factor' },
};

/**
 * @param {string} topic
 * @param {unknown} payload
 * @param {Memory | null} [previous]  of this device, as the last call returned it
 * @param {Arrival} [message]
 * @returns {ParserResult<Memory>}
 */
function parse(topic, payload, previous = null, message = {}) {
  const match = TOPIC.exec(topic);
  if (match === null) return refused('not a Shelly Gen1 topic', previous);
  const [, id, part, index, name, other] = match;
  const bad = idProblem(id);
  if (bad !== null) return refused(bad, previous);
  if (typeof payload !== 'string') return refused('the payload is not text', previous);
  if (other === 'online') return online(id, payload, previous);
  const quantity = QUANTITIES[`${part}/${name}`];
  if (quantity === undefined) return ignored('no measurement for the accounts', previous);

  /** @type {string[]} */
  const problems = [];
  const value = numberFromText(payload);
  if (Number.isNaN(value)) {
    return refused(`${part}/${name} must be one number as text`, previous);
  }
  const channel = index === undefined ? part : `${part}:${index}`;
  const values = previous?.[channel] ?? {};
  if (quantity.column !== undefined) {
    const number = measure(value, name, problems);
    const measured = number !== null && quantity.column === 'power_watts' ? drawn(number, name, problems) : number;
    if (measured === null) return refused(problems.join('; '), previous);
    const now = { ...values, [quantity.column]: measured };
    const memory = { ...previous, [channel]: now };
    if (now.power_watts === undefined) return ignored('kept until the power is known', memory);
    const found = reading(`${id}/${channel}`, PROTOCOL, now, null, null, topic, message);
    return { readings: [found], reject: null, previous: memory };
  }
  const total = counter(value, name, problems);
  if (total === null) return refused(problems.join('; '), previous);
  const wh = total * quantity.whPerUnit;
  const found = reading(`${id}/${channel}`, PROTOCOL, values, wh, null, topic, message);
  return { readings: [found], reject: null, previous };
}

/**
 * The device part of a topic.
 * @param {string} topic
 * @returns {string | null} null when the topic is not of this family
 */
const device = (topic) => TOPIC.exec(topic)?.[1] ?? null;

module.exports = { protocol: PROTOCOL, device, parse };
