'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { route, subscriptions, TABS } = require('../routes');
const { AT, MESSAGES, plusPlugS, tasmotaEnergy, notify } = require('./fixtures');

const live = { arrived: AT, backlog: false };

/**
 * What the parser of the topic finds.
 * @param {string} topic
 * @param {unknown} body  an object is sent as JSON, text as it is
 * @param {unknown} [previous]
 * @returns {any}
 */
function parse(topic, body, previous = null, message = live) {
  const found = route(topic);
  assert.ok(found !== null, topic);
  return found.parser.parse(topic, typeof body === 'string' ? body : JSON.stringify(body), previous, message);
}

const values = ({ readings: [reading] }) => [reading.power_watts, reading.energy_total_wh];

for (const { name, protocol, topic, payload, rows } of MESSAGES) {
  test(`${protocol}: ${name} gives the exact rows`, () => {
    const found = parse(topic, payload);
    assert.equal(found.reject, null);
    assert.deepEqual(found.readings, rows);
    assert.equal(route(topic)?.parser.protocol, protocol);
  });
}

const real = path.join(__dirname, '../../../../shared/data/shelly');
const realStatus = (file) => JSON.parse(fs.readFileSync(path.join(real, file), 'utf8'));
const skip = !fs.existsSync(real) && 'no shared data';
test('real Shelly status objects give rows with their counter and power', { skip }, () => {
  for (const file of ['plus_plug_s.json', 'pro_4pm.json']) {
    for (const [channel, status] of Object.entries(realStatus(file))) {
      const found = parse(`dev/status/${channel}`, status);
      assert.equal(found.reject, null);
      assert.deepEqual(values(found), [status.apower, status.aenergy.total]);
      assert.equal(found.readings[0].meter_id, `dev/${channel}`);
    }
  }
  const [gen1] = realStatus('gen1_plug_s.json').meters;
  assert.equal(parse('shellies/x/relay/0/energy', String(gen1.total)).readings[0].energy_total_wh, gen1.total / 60);
});

test('shelly_gen2: a delta is laid over the last status, but never carries the old counter', () => {
  const full = parse('p/status/switch:0', plusPlugS);
  const delta = parse('p/events/rpc', notify({ 'switch:0': { id: 0, apower: 579 } }), full.previous);
  assert.deepEqual([...values(delta), delta.readings[0].voltage], [579, null, 227.9]);
  const counted = parse('p/events/rpc', notify({ 'switch:0': { id: 0, aenergy: { total: 7300 } } }), delta.previous);
  assert.deepEqual(values(counted), [579, 7300]);
});

test('shelly_gen2: an unchanged power stays with a changed temperature; nothing known gives no reading', () => {
  const full = parse('p/status/switch:0', plusPlugS);
  const warm = parse('p/events/rpc', notify({ 'switch:0': { id: 0, temperature: { tC: 40 } } }), full.previous);
  assert.deepEqual([warm.readings[0].power_watts, warm.readings[0].plug_temp_c], [2.7, 40]);
  const unknown = parse('p/events/rpc', notify({ 'switch:0': { id: 0, voltage: 230 } }));
  assert.deepEqual([unknown.readings, unknown.reject], [[], null]);
  const relay = parse('p/events/rpc', notify({ 'switch:0': { id: 0, output: false } }), full.previous);
  assert.deepEqual([relay.readings, relay.reject], [[], null]);
});

test('shelly: what a device said before it went offline is forgotten', () => {
  const full = parse('p/status/switch:0', plusPlugS);
  const gone = parse('p/online', 'false', full.previous);
  assert.deepEqual(gone.presence, { device: 'p', online: false });
  const counted = parse('p/events/rpc', notify({ 'switch:0': { aenergy: { total: 1 } } }), gone.previous);
  assert.equal(counted.readings[0].power_watts, null);
  assert.match(parse('p/online', 'maybe').reject, /online must be true or false/);
  const gen1 = parse('shellies/a/online', 'true', { 'relay:0': { power_watts: 5 } });
  assert.deepEqual([gen1.presence, gen1.previous], [{ device: 'a', online: true }, null]);
});

test('shelly_gen2: em and emdata are one meter', () => {
  const power = parse('e/status/em:0', { id: 0, total_act_power: 500, total_current: 2 });
  const energy = parse('e/status/emdata:0', { id: 0, total_act: 1000 }, power.previous);
  assert.deepEqual([energy.readings[0].meter_id, ...values(energy)], ['e/em:0', 500, 1000]);
});

test('shelly_gen2: phases are those of this very message, and a bad value loses itself', () => {
  const full = parse('e/status/em:0', { total_act_power: 500, a_voltage: 229, a_pf: 'x', c_act_power: 300 });
  assert.match(full.reject, /^a_pf must be a number/);
  assert.deepEqual(full.readings[0].phases, [{ phase: 1, voltage: 229 }, { phase: 3, power_watts: 300 }]);
  const energy = parse('e/status/emdata:0', { id: 0, total_act: 1000 }, full.previous);
  assert.equal(energy.readings[0].phases, null);
  const change = parse('e/events/rpc', notify({ 'em:0': { a_act_power: 210 } }), full.previous);
  assert.deepEqual(change.readings[0].phases, [{ phase: 1, power_watts: 210 }]);
});

test('shelly_gen2: a broken field is null and named, the others of its message count', () => {
  for (const value of [null, '2.7', true, {}]) {
    const found = parse('p/status/switch:0', { ...plusPlugS, apower: value });
    assert.deepEqual(values(found), [null, 7258.589], JSON.stringify(value));
    assert.match(found.reject, /^apower must be a number/);
  }
  for (const value of [null, {}, { total: null }, { total: -1 }, { total: '7' }]) {
    const found = parse('p/status/switch:0', { ...plusPlugS, aenergy: value });
    assert.deepEqual(values(found), [2.7, null], JSON.stringify(value));
    assert.match(found.reject, /^aenergy/);
  }
  const neither = parse('p/status/switch:0', { ...plusPlugS, apower: null, aenergy: null });
  assert.deepEqual(neither.readings, []);
  assert.match(neither.reject, /aenergy.*apower/);
  const delta = parse('p/events/rpc', notify({ 'switch:0': { apower: null } }), parse('p/status/switch:0', plusPlugS).previous);
  assert.deepEqual(delta.readings, [], 'the old power says nothing any more');
  const odd = parse('p/status/switch:0', { ...plusPlugS, voltage: '230', temperature: 7 });
  const [reading] = odd.readings;
  assert.deepEqual([reading.energy_total_wh, reading.voltage, reading.plug_temp_c], [7258.589, null, null]);
  assert.match(odd.reject, /voltage.*temperature/);
});

test('a number that is none loses its field, not the message', () => {
  for (const none of ['nan', 'NaN', '-nan', 'inf', '-Infinity', 'null']) {
    const plug = parse('p/status/switch:0', `{"id":0,"apower":${none},"voltage": ${none} ,"aenergy":{"total":5}}`);
    assert.deepEqual(values(plug), [null, 5], none);
    assert.match(plug.reject, /apower must be a number.*voltage must be a number/);
    const tasmota = parse('tele/t/SENSOR', `{"ENERGY":{"Power":${none},"Total":1.5}}`);
    assert.deepEqual(values(tasmota), [null, 1500], none);
    const phase = parse('tele/t/SENSOR', `{"ENERGY":{"Power":[1,${none}],"Total":[1.5,1]}}`);
    assert.deepEqual(values(phase), [null, 2500], none);
  }
  assert.match(parse('p/status/switch:0', '{"apower":nano}').reject, /not valid JSON/);
  assert.equal(parse('tele/t/SENSOR', '{"ENERGY":{"Power":1,"Name":"a,nan,b"}}').readings.length, 1);
});

test('every component with a counter is a meter: covers, lamps, rollers', () => {
  for (const name of ['cover:0', 'light:1', 'cct:0', 'rgb:0', 'rgbw:0']) {
    const found = parse(`p/status/${name}`, { id: 0, apower: 3, aenergy: { total: 9 } });
    assert.deepEqual([found.readings[0].meter_id, ...values(found)], [`p/${name}`, 3, 9]);
  }
  for (const [topic, meter] of [['roller/0', 'roller:0'], ['light/1', 'light:1'], ['relay', 'relay'], ['relay/1', 'relay:1']]) {
    const power = parse(`shellies/a/${topic}/power`, '60');
    const energy = parse(`shellies/a/${topic}/energy`, '120', power.previous);
    assert.deepEqual([energy.readings[0].meter_id, ...values(energy)], [`a/${meter}`, 60, 2]);
  }
  assert.match(parse('shellies/a/roller/0/pos', '40').ignored, /no measurement/);
});

test('a sensor without a meter is ignored, not refused', () => {
  assert.match(parse('tele/t/SENSOR', { Time: 'x', AM2301: { Temperature: 21 } }).ignored, /no ENERGY/);
  assert.match(parse('tele/t/SENSOR', { ENERGY: 7 }).reject, /ENERGY must be an object/);
});

test('prefixes of up to four levels, and any FullTopic of Tasmota', () => {
  const matches = (topic) => TABS.flatMap(subscriptions).some((one) => new RegExp(
    `^${one.replaceAll('+', '[^/]+').replace(/#$/, '.*')}$`).test(topic));
  for (const prefix of ['a', 'a/b', 'a/b/c', 'a/b/c/d']) {
    assert.ok(matches(`${prefix}/status/switch:0`) && matches(`${prefix}/events/rpc`), prefix);
    assert.equal(parse(`${prefix}/status/switch:0`, plusPlugS).readings[0].meter_id, `${prefix}/switch:0`);
  }
  for (const [topic, name] of [
    ['tele/x/SENSOR', 'x'], ['x/tele/SENSOR', 'x'], ['home/tele/x/SENSOR', 'home/x'], ['home/x/tele/SENSOR', 'home/x'],
    ['tele/home/x/SENSOR', 'home/x'], ['home/a/b/tele/x/SENSOR', 'home/a/b/x'], ['home/tele/x/b/SENSOR', 'home/x/b'],
  ]) {
    assert.ok(matches(topic), topic);
    assert.equal(parse(topic, { ENERGY: tasmotaEnergy }).readings[0].meter_id, name, topic);
  }
});

test('negative power is reported and left out, the counter stays', () => {
  const gen2 = parse('p/status/switch:0', { ...plusPlugS, apower: -4 });
  assert.deepEqual(values(gen2), [null, 7258.589]);
  const plug = parse('tele/t/SENSOR', { ENERGY: { Power: [10, -30], Total: 1 } });
  assert.deepEqual(values(plug), [null, 1000]);
  assert.deepEqual(parse('shellies/a/relay/0/power', '-4').readings, []);
  assert.deepEqual(parse('tele/t/SENSOR', { ENERGY: { Power: -4 } }).readings, []);
  assert.match(gen2.reject, /apower is negative/);
  assert.match(plug.reject, /ENERGY.Power is negative/);
});

test('shelly_gen2: infinite, empty, list and text payloads are refused with a reason', () => {
  assert.match(parse('p/status/switch:0', '{"apower":1e999}').reject, /apower must be a number, but is out of range/);
  assert.match(parse('p/status/switch:0', '').reject, /empty/);
  assert.match(parse('p/status/switch:0', '[1]').reject, /JSON object/);
  assert.match(parse('p/status/switch:0', '{"apower":').reject, /not valid JSON/);
  assert.match(parse('p/status/switch:0', '{}').ignored, /neither a power nor a counter/);
  assert.match(parse('p/status/switch:0', '{"output":true,"temperature":{"tC":40}}').ignored, /neither a power nor/);
  assert.match(parse('p/events/rpc', { method: 'NotifyStatus', params: [] }).reject, /params/);
  assert.equal(parse('p/status/wifi', '{"rssi":-60}').ignored, 'wifi has no meter');
  assert.equal(parse('p/status/constructor:0', '{}').ignored, 'constructor:0 has no meter');
  assert.equal(parse('p/events/rpc', { method: 'NotifyEvent', params: {} }).reject, null);
});

test('shelly_gen1: power and counter come apart; the counter message knows the last power', () => {
  const power = parse('shellies/a/relay/0/power', '100');
  const energy = parse('shellies/a/relay/0/energy', '60', power.previous);
  assert.deepEqual(values(energy), [100, 1]);
  for (const junk of ['', 'NaN', 'Infinity', '0x10', 'true', '1,5', '{}']) {
    assert.match(parse('shellies/a/relay/0/energy', junk).reject, /one number as text/);
  }
  assert.match(parse('shellies/a/relay/0/energy', '-5').reject, /cannot be negative/);
  assert.equal(parse('shellies/a/relay/0', 'on').reject, null);
});

test('tasmota: detail goes to the smart plug table, a changed TotalStartTime marks a reset', () => {
  const first = parse('tele/t/SENSOR', { ENERGY: tasmotaEnergy });
  assert.deepEqual(first.detail, {
    meter_id: 't', arrived: AT, backlog: false, power_w: 122, energy_total_kwh: 0.904, voltage_v: 243, current_a: 0.521,
    power_factor: 0.96, apparent_power_va: 126, reactive_power_var: 33, counter_reset: false,
  });
  const later = { ...tasmotaEnergy, Total: 0, TotalStartTime: '2025-02-12T23:00:00' };
  assert.equal(parse('tele/t/SENSOR', { ENERGY: later }, first.previous).detail.counter_reset, true);
});

test('tasmota: LWT, other topics, the other topic order, and faults', () => {
  assert.deepEqual(parse('tele/t/LWT', 'Offline').presence, { device: 't', online: false });
  assert.equal(parse('tele/t/STATE', '{"POWER":"ON"}').reject, null);
  assert.equal(parse('shop/t/tele/SENSOR', { ENERGY: { Power: 1 } }).readings[0].meter_id, 'shop/t');
  const missing = parse('tele/t/SENSOR', { DS18B20: { Temperature: 20 } });
  assert.match(missing.ignored, /no ENERGY/);
  const text = parse('tele/t/SENSOR', { ENERGY: { Power: '5' } });
  assert.match(text.reject, /ENERGY.Power must be a number, but is text/);
  assert.match(parse('tele/t/SENSOR', { ENERGY: { Power: [1, null] } }).reject, /ENERGY.Power\[1\]/);
  assert.match(parse('tele/t/SENSOR', { ENERGY: { Total: '1 kWh' } }).reject, /ENERGY.Total/);
  assert.match(parse('stat/t/STATUS10', {}).reject, /StatusSNS/);
});

/** What a hub's messages give, one after the other: [topic, payload, milliseconds]. */
function hub(messages) {
  let previous = null;
  const samples = [];
  const rejects = [];
  for (const [topic, payload, ms] of messages) {
    const arrived = new Date(Date.parse(AT) + ms).toISOString();
    const found = parse(`esp32/raptorblingx/${topic}`, payload, previous, { arrived, backlog: false });
    previous = found.previous;
    samples.push(...found.samples);
    if (found.reject) rejects.push(found.reject);
  }
  return { samples, rejects };
}

test('esp32: three axes are one sample with the time of the first, and the temperature of the chip', () => {
  const { samples } = hub([
    ['mpu6050/temperature_c', '31.5', 0], ['mpu6050/accel/x', '0.1', 5], ['mpu6050/accel/z', '9.81', 20],
    ['mpu6050/accel/y', '-0.2', 40],
  ]);
  assert.deepEqual(samples, [{
    kind: 'mpu6050_accelerometer', sensor_id: 'raptorblingx/mpu6050', location_id: 'raptorblingx', source: 'mpu6050',
    arrived: '2026-03-01T12:00:00.005Z', backlog: false, x: 0.1, y: -0.2, z: 9.81, temperature_c: 31.5,
  }]);
});

test('esp32: a lost axis is null and does not shift the later samples; a repeated message changes nothing', () => {
  const { samples } = hub([
    ['mpu6050/gyro/x', '1', 0], ['mpu6050/gyro/x', '1', 1], ['mpu6050/gyro/z', '3', 2],
    ['mpu6050/gyro/x', '4', 5000], ['mpu6050/gyro/y', '5', 5001], ['mpu6050/gyro/z', '6', 5002],
  ]);
  assert.deepEqual(samples.map((s) => [s.x, s.y, s.z]), [[1, null, 3], [4, 5, 6]]);
});

test('esp32: temperature and humidity are one environment sample; max6675 stands alone; nan is refused', () => {
  const { samples, rejects } = hub([
    ['dht22/temperature_c', '21.5', 0], ['dht22/humidity', '45', 3], ['max6675/temperature_c', '205.25', 4],
    ['dht22/temperature_c', 'nan', 5], ['dht22/humidity', '145', 6],
  ]);
  assert.deepEqual(samples.map((s) => [s.kind, s.temperature_c, s.humidity_pct]), [
    ['environment', 21.5, 45], ['max6675_temperature', 205.25, undefined],
  ]);
  assert.equal(rejects.length, 2);
});

test('esp32: a quantity that is not recorded opens no sample, whatever it is called', () => {
  for (const quantity of ['pressure', 'constructor', '__proto__']) {
    assert.equal(parse(`esp32/o/dht22/${quantity}`, '1').ignored, `dht22/${quantity} is not recorded`);
  }
});

test('routes: every family is found by topic, in the right order, and each tab knows its subscriptions', () => {
  const protocol = (topic, tab) => route(topic, tab)?.parser.protocol;
  assert.equal(protocol('shellies/plug/relay/0/power'), 'shelly_gen1');
  assert.equal(protocol('shellies/plus/status/switch:0'), 'shelly_gen2');
  assert.equal(protocol('esp32/raptorblingx/dht22/humidity'), 'esp32');
  assert.equal(protocol('esp32/raptorblingx/dht22/humidity', 'shelly'), undefined);
  assert.equal(protocol('who/knows'), undefined);
  for (const tab of TABS) assert.ok(subscriptions(tab).length > 0);
});
