'use strict';
// Shelly Gen1 over MQTT: one number as text per topic. `shellies/<id>/relay/N/power` (W) and `/energy` (watt-minutes, lost on
// reboot); `shellies/<id>/emeter/N/power|total|voltage|current|pf` (W, Wh, V, A) of the energy meters.

const { numberFromText, measure, counter, drawn, idProblem } = require('./values');
const { reading, refused, ignored } = require('./reading');

const PROTOCOL = 'shelly_gen1';
const TOPIC = /^shellies\/([^/]+)\/(?:(relay|emeter)\/(\d{1,2})(?:\/([a-z_]+))?|(online|announce|info|temperature|temperature_f|overtemperature|voltage))$/;
const WH_PER_WATT_MINUTE = 1 / 60;

// What each topic measures; anything else of these devices (relay position, returned energy …) carries nothing for the accounts.
const QUANTITIES = {
  'relay/power': { column: 'power_watts' },
  'relay/energy': { whPerUnit: WH_PER_WATT_MINUTE },
  'emeter/power': { column: 'power_watts' },
  'emeter/total': { whPerUnit: 1 },
  'emeter/voltage': { column: 'voltage' },
  'emeter/current': { column: 'current_amps' },
  'emeter/pf': { column: 'power_factor' },
};

/** Same contract as shelly-gen2: `previous` holds the last values per channel of one device. */
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

  const problems = [];
  const value = numberFromText(payload);
  if (Number.isNaN(value)) {
    return refused(`${part}/${name} must be one number as text`, previous);
  }
  const channel = `${part}:${index}`;
  const values = previous?.[channel] ?? {};
  if (quantity.column !== undefined) {
    const number = measure(value, name, problems);
    const measured = number !== null && quantity.column === 'power_watts' ? drawn(number, name, problems) : number;
    if (measured === null) return refused(problems.join('; '), previous);
    const now = { ...values, [quantity.column]: measured };
    const memory = { ...previous, [channel]: now };
    if (now.power_watts === undefined) return ignored('kept until the power is known', memory);
    return { readings: [reading(`${id}/${channel}`, PROTOCOL, now, null, null, topic, message)], reject: null, previous: memory };
  }
  const total = counter(value, name, problems);
  if (total === null) return refused(problems.join('; '), previous);
  const wh = total * quantity.whPerUnit;
  return { readings: [reading(`${id}/${channel}`, PROTOCOL, values, wh, null, topic, message)], reject: null, previous };
}

function online(id, payload, previous) {
  const word = payload.trim();
  if (word !== 'true' && word !== 'false') return refused('online must be true or false', previous);
  return ignored('presence', null, { presence: { device: id, online: word === 'true' } });
}

const device = (topic) => TOPIC.exec(topic)?.[1] ?? null;

module.exports = { protocol: PROTOCOL, device, parse };
