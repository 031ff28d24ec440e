'use strict';
/** @import { PrinterStatus } from './types' */

const test = require('node:test');
const assert = require('node:assert/strict');
const { validateDevice, describeTest } = require('./devices');
const { PollError } = require('./printers/poll-error');

const mk4 = {
  device_id: 'PrusaMK4-1', device_model: ' Prusa MK4 ', source: 'prusalink', api_ip: '10.0.0.5', api_key: 'x',
  shelly_id: 'SPPS-02/switch:1', bed_width: 250, notes: '',
};

test('a good device comes out tidy', () => {
  const { device, errors } = validateDevice(mk4);
  assert.deepEqual(errors, []);
  assert.deepEqual([device.device_model, device.notes, device.friendly_name], ['Prusa MK4', null, 'PrusaMK4-1']);
});

/** @type {[object, RegExp][]} */
const REFUSED = [
  [{ device_id: 'a b' }, /device_id must be 1 to 64 letters/],
  [{ device_id: '../x' }, /device_id must/],
  [{ device_id: undefined }, /device_id must not be empty|device_id is missing/],
  [{ bed_width: -1 }, /bed_width must be a number from 1 to 10000 \(mm\)/],
  [{ bed_width: '250' }, /bed_width must be a number/],
  [{ bed_width: NaN }, /bed_width/],
  [{ data_interval_seconds: 0 }, /whole number from 1 to 3600 \(s\)/],
  [{ data_interval_seconds: 2.5 }, /whole number/],
  [{ data_interval_seconds: null }, /must not be empty/],
  [{ source: 5 }, /source must be text/],
  [{ device_type: 'x'.repeat(50) }, /device_type must be at most 41 characters/],
  [{ api_ip: 'ftp://x' }, /http:\/\/ or https:\/\//],
  [{ api_ip: 'http://u:p@x' }, /must not hold a password/],
  [{ api_ip: 'a b' }, /api_ip must/],
  [{ api_ip: '' }, /api_ip is missing: source prusalink needs it/],
  [{ source: 'octoprint', api_key: null }, /api_key is missing/],
  [{ source: 'simplyprint' }, /simplyprint_id is missing/],
  [{ simplyprint_id: 'abc' }, /number of the printer/],
  [{ shelly_id: 'x/#' }, /MQTT topic/],
  [{ notes: 'a\u0000b' }, /control characters/],
  [{ friendly_name: 'x'.repeat(200) }, /at most 120/],
  [{ plant_type: 'cactus' }, /plant_type must be one of/],
  [{ is_active: 'yes' }, /true or false/],
  [{ color: 'red' }, /"color" is not a field of a device/],
  [{ constructor: 1 }, /not a field/],
];
for (const [change, sentence] of REFUSED) {
  test(`refused with a sentence: ${JSON.stringify(change)}`, () => {
    const { errors } = validateDevice({ ...mk4, ...change });
    assert.ok(errors.some((error) => sentence.test(error)), errors.join(' '));
    assert.ok(errors.every((error) => /[.!]$/.test(error)));
  });
}

test('an address that is refused is not called missing as well', () => {
  assert.equal(validateDevice({ ...mk4, api_ip: 'a b' }).errors.length, 1);
});

test('which kinds and sources there are is data: only a device that is not stored needs a list here', () => {
  const added = { device_id: 'press', device_type: 'press', source: 'opcua' };
  assert.deepEqual(validateDevice(added).errors, []);
  assert.deepEqual(validateDevice(added, { sources: ['opcua', 'none'] }).errors, []);
  assert.deepEqual(validateDevice(added, { sources: ['none'] }).errors, ['source must be one of none.']);
  assert.deepEqual(validateDevice({ device_id: 'press', source: 'constructor' }).errors, []);
});

test('a change needs only what it changes', () => {
  assert.deepEqual(validateDevice({ data_interval_seconds: 10 }, { partial: true }).errors, []);
  assert.deepEqual(validateDevice({ source: 'octoprint' }, { partial: true }).errors, []);
  assert.match(validateDevice([]).errors[0], /JSON object/);
});

test('a test reports what printer and plug answer', () => {
  const now = Date.parse('2026-03-01T12:00:00Z');
  const status = /** @type {PrinterStatus} */ ({
    api: 'v1', state: 'printing', nozzle_temp_actual: 214.9, nozzle_temp_target: 215, bed_temp_actual: 24,
    bed_temp_target: 0, filename: 'a.gcode', progress_percent: 41.6,
  });
  const power = { meter_id: 'SPPS-02/switch:1', power_watts: 86.42, power_at: '2026-03-01T11:59:56Z' };
  assert.deepEqual(describeTest({ device: mk4, status, power }, now), {
    ok: true,
    printer: 'It answers (v1): printing, nozzle 215 °C of 215 °C, bed 24 °C, file a.gcode at 42 %.',
    plug: 'The plug SPPS-02/switch:1 said 86.4 W 4 s ago.',
    plugOk: true,
  });
  const bad = describeTest({ device: mk4, error: new PollError('auth', 'It refused.') }, now);
  assert.deepEqual([bad.ok, bad.printer], [false, 'It refused.']);
  assert.match(bad.plug, /has not sent anything yet/);
  assert.equal(bad.plugOk, false);
  const silent = describeTest({ device: mk4, status, power: { ...power, power_at: '2026-03-01T11:00:00Z' } }, now);
  assert.equal(silent.plugOk, false);
  assert.equal(silent.plug, 'The plug SPPS-02/switch:1 said 86.4 W, but that was 60 minutes ago: is it online?');
  assert.match(describeTest({ device: { source: 'none' } }, now).plug, /set shelly_id/);
});
