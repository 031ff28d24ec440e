'use strict';
// Damaged payloads, thousands per protocol: nothing is thrown; what leaves the needed fields intact gives the exact
// row; the rest is a reject with a reason. ENMS_LONG=1 runs 10,000 per protocol. A failure names the seed, which
// repeats it.
const test = require('node:test');
const assert = require('node:assert/strict');
const { createIngest } = require('./ingest');
const { MESSAGES, AT } = require('./parsers/fixtures');
const { PollError } = require('./printers/poll-error');
const { fromV1, fromLegacy } = require('./printers/prusalink');
const { fromOctoPrint } = require('./printers/octoprint');
const { fromMoonraker } = require('./printers/moonraker');
const { fromSimplyPrint } = require('./printers/simplyprint');
const { step } = require('./jobs');
const { dice } = require('./testing');

const COUNT = process.env.ENMS_LONG === '1' ? 10_000 : 2_000;

function choices(seed) {
  const random = dice(Math.imul(seed, 2654435761));
  const below = (n) => Math.floor(random() * n);
  return { pick: (list) => list[below(list.length)], below };
}

// As JSON text, because JSON can say more than JSON.stringify: 1e999, very long numbers.
const JUNK = [
  'null', 'true', 'false', '"text"', '""', '"constructor"', '{}', '[]', '[1,"a"]', '1e999', '-1e999', '1e300', '"NaN"',
  '"\\u0000"', '"\\ud800"', '{"total":null}', '99999999999999999999999',
];
const MARK = '@@junk@@';

/** All paths to the leaves and branches of a JSON value. */
function paths(value, path = /** @type {string[]} */ ([])) {
  const own = path.length > 0 ? [path] : [];
  if (typeof value !== 'object' || value === null) return own;
  return [...own, ...Object.keys(value).flatMap((key) => paths(value[key], [...path, key]))];
}

/** The value with what is at `path` replaced by JSON text, or removed when junk is null. */
function damaged(body, path, junk) {
  const copy = structuredClone(body);
  let place = copy;
  for (const key of path.slice(0, -1)) place = place[key];
  if (junk === null && !Array.isArray(place)) delete place[path.at(-1)];
  else place[path.at(-1)] = MARK;
  return JSON.stringify(copy).replace(JSON.stringify(MARK), junk ?? 'null');
}

// What a field means for the accounts, by the last key of its path; what is in neither list is harmless.
const NEEDED = new Set([
  'apower', 'total_act_power', 'aenergy', 'total', 'total_act', 'Power', 'Total', 'ENERGY', 'StatusSNS', 'params',
  'method', 'switch:0', 'switch:3', 'em:0', 'emdata:0',
]);
const OPTIONAL = {
  voltage: 'voltage', current: 'current_amps', pf: 'power_factor', freq: 'frequency_hz', temperature: 'plug_temp_c',
  tC: 'plug_temp_c', ts: 'device_time', a_voltage: 'voltage', b_voltage: 'voltage', c_voltage: 'voltage',
  a_freq: 'frequency_hz', total_current: 'current_amps', Voltage: 'voltage', Current: 'current_amps',
  Factor: 'power_factor', ApparentPower: null,
  ReactivePower: null,
};
const OF_A_PHASE = /^[abc]_(act_power|voltage|current|pf)$/;
const isEmpty = (junk) => junk === null || junk === '{}' || junk === '{"total":null}';

/** A reason for a person, and no failure of the parser itself. */
const isReason = (reason) => reason.length > 5 && !/the parser failed/.test(reason);

function ingested(message, payload) {
  const out = createIngest()([{ topic: message.topic, payload, arrived: AT, backlog: false }]);
  for (const reject of out.rejects) assert.ok(isReason(reject.reason), reject.reason);
  for (const reading of out.readings) {
    for (const [key, value] of Object.entries(reading)) {
      const fits = typeof value !== 'number' || (Number.isFinite(value) && Math.abs(value) <= 1e15);
      assert.ok(fits, `${key} is ${value}`);
    }
    assert.ok(reading.power_watts !== null || reading.energy_total_wh !== null);
  }
  return out;
}

function check(message, payload, path, junk) {
  const out = ingested(message, payload);
  assert.ok(out.readings.length + out.rejects.length + out.ignored > 0, 'dropped in silence');
  const key = path.at(-1);
  const isPhases = Array.isArray(message.body.ENERGY?.[key]);
  const isOptional = Object.hasOwn(OPTIONAL, key) || OF_A_PHASE.test(key);
  if (path.includes('by_minute') || !(NEEDED.has(key) || isOptional || /^\d+$/.test(key))) {
    assert.deepEqual(out.readings, message.rows);
    assert.deepEqual(out.rejects, []);
  } else if (isOptional && !isPhases) {
    const lost = OF_A_PHASE.test(key) ? { phases: null } : {};
    const without = (rows) => rows.map((row) => ({ ...row, ...lost, [OPTIONAL[key]]: null }));
    assert.deepEqual(without(out.readings), without(message.rows));
    assert.equal(out.rejects.length, isComplaint(key, junk) ? 1 : 0);
  } else if (NEEDED.has(key) && !isEmpty(junk) && !isPhases) {
    // Of a message with two parts the sound one stays.
    assert.equal(out.rejects.length, 1);
    const isInTwoParts = message.body.params?.['em:0'] !== undefined;
    const sound = new Map(message.rows.map((row) => [row.meter_id, row]));
    const isWithout = out.readings.some((row) => ['power_watts', 'energy_total_wh'].some((column) => (
      row[column] === null && sound.get(row.meter_id)[column] !== null)));
    assert.ok(out.readings.length < message.rows.length || isInTwoParts || isWithout, 'the broken part is in no row');
    for (const { meter_id, power_watts, energy_total_wh } of out.readings) {
      assert.ok([null, sound.get(meter_id).power_watts].includes(power_watts));
      assert.ok([null, sound.get(meter_id).energy_total_wh].includes(energy_total_wh));
    }
  }
}

/** Whether junk in an optional field is told: a missing one is not, and a temperature may be null. */
function isComplaint(key, junk) {
  if (junk === null) return false;
  if (key === 'tC' || OF_A_PHASE.test(key)) return junk !== 'null';
  return key !== 'temperature' || !(junk === 'null' || isEmpty(junk));
}

for (const protocol of ['shelly_gen2', 'tasmota']) {
  test(`${protocol}: ${COUNT} payloads with a damaged, missing or additional field`, () => {
    const messages = MESSAGES.filter((message) => message.protocol === protocol);
    for (let seed = 1; seed <= COUNT; seed += 1) {
      const { pick } = choices(seed);
      const message = pick(messages);
      const path = pick(paths(message.body));
      const junk = pick([...JUNK, null]);
      const isMore = pick([true, false, false]);
      const more = { ...message.body, unheard_of: JSON.parse(pick(['1', 'null', '[{}]'])) };
      const payload = isMore ? JSON.stringify(more) : damaged(message.body, path, junk);
      try {
        check(message, payload, isMore ? ['unheard_of'] : path, junk);
      } catch (error) {
        throw new Error(`seed ${seed}, ${message.name}, ${path.join('.')} = ${junk}`, { cause: error });
      }
    }
  });
}

const HUB = [
  'dht22/temperature_c', 'dht22/humidity', 'mpu6050/accel/x', 'mpu6050/gyro/y', 'mpu6050/temperature_c',
  'max6675/temperature_c',
].map((end) => ({ name: end, protocol: 'esp32', topic: `esp32/raptorblingx/${end}`, payload: '21.5', rows: null }));
const BITS = ['"', '{', '}', ',', ':', '\u0000', '\\', '1', '-', 'e', '.', ' ', 'ß', '\ud83d', '[', 'null', 'NaN'];

/** The payload with up to four cuts, insertions, deletions or doublings. */
function mangled(payload, { pick, below }) {
  let text = payload;
  for (let n = 0; n <= below(4); n += 1) {
    const place = below(text.length + 1);
    const [before, after] = [text.slice(0, place), text.slice(place)];
    text = pick([before, before + pick(BITS) + after, before + text.slice(place + 1), text + text]);
  }
  return text;
}

/** How many readings a Gen1 topic must give: it carries one number as text, and negative power is left out. */
function gen1Readings({ topic }, payload, found) {
  if (/power$/.test(topic) && found === 1) return 1;
  return /^\s*\+?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?\s*$/.test(payload) && Number(payload) <= 1e15 ? 1 : 0;
}

for (const protocol of ['shelly_gen2', 'shelly_gen1', 'tasmota', 'esp32']) {
  test(`${protocol}: ${COUNT} payloads with damaged text`, () => {
    const messages = [...MESSAGES, ...HUB].filter((message) => message.protocol === protocol);
    for (let seed = 1; seed <= COUNT; seed += 1) {
      const chance = choices(seed);
      const message = chance.pick(messages);
      const payload = mangled(message.payload, chance);
      const out = createIngest()([{ topic: message.topic, payload, arrived: AT, backlog: false }]);
      const told = out.readings.length + out.rejects.length + out.ignored + out.samples.length;
      assert.ok(told > 0 || protocol === 'esp32', `seed ${seed}: dropped in silence`);
      for (const { reason } of out.rejects) assert.ok(isReason(reason), `seed ${seed}: ${reason}`);
      if (payload === message.payload && message.rows) assert.deepEqual(out.readings, message.rows);
      if (protocol === 'shelly_gen1') {
        const expected = gen1Readings(message, payload, out.readings.length);
        assert.equal(out.readings.length, expected, `seed ${seed}: ${JSON.stringify(payload)}`);
      }
    }
  });
}

// --- What printers answer --------------------------------------------------------------------------------------------

const NOW = Date.parse(AT);
const temperature = { tool0: { actual: 200, target: 210 }, bed: { actual: 60, target: 60 } };
const flags = { operational: true, printing: true, paused: false, error: false };
const ANSWERS = {
  prusalink: {
    body: {
      said: {
        printer: {
          state: 'PRINTING', temp_nozzle: 200, target_nozzle: 210, temp_bed: 60, target_bed: 60, axis_z: 1, speed: 100,
          fan_print: 5000,
        },
        job: { id: 3, progress: 40, time_remaining: 100, time_printing: 50 },
      },
      job: {
        id: 3, state: 'PRINTING', progress: 40, time_printing: 50,
        file: { display_name: 'a.gcode', refs: { download: '/usb/A' } },
      },
    },
    read: (device, { said, job }) => fromV1(device, NOW, said, job),
  },
  'prusalink legacy': {
    body: {
      printer: {
        telemetry: { material: 'PLA', 'temp-bed': 60, 'z-height': 1 }, temperature, state: { text: 'Printing', flags },
      },
      job: { job: { file: { name: 'a' } }, progress: { completion: 0.4, printTime: 5, printTimeLeft: 7 } },
    },
    read: (device, { printer, job }) => fromLegacy(device, NOW, printer, job),
  },
  octoprint: {
    body: {
      printer: { temperature, state: { text: 'Printing', flags } },
      job: {
        job: { file: { name: 'a', path: 'b/a', origin: 'local' }, filament: { tool0: { length: 10 } } },
        progress: { completion: 40, printTime: 5, printTimeLeft: 7 },
      },
    },
    read: (device, { printer, job }) => fromOctoPrint(device, NOW, printer, job),
  },
  moonraker: {
    body: {
      said: {
        print_stats: {
          filename: 'd/a', total_duration: 9, print_duration: 8, filament_used: 7, state: 'printing', message: '',
        },
        virtual_sdcard: { progress: 0.4 }, extruder: { temperature: 200, target: 210 },
        heater_bed: { temperature: 60, target: 60 }, gcode_move: { gcode_position: [1, 2, 3] },
      },
      history: [{ job_id: 'A', filename: 'd/a', status: 'in_progress' }],
    },
    read: (device, { said, history }) => fromMoonraker(device, NOW, said, history),
  },
  simplyprint: {
    body: {
      status: true, message: null,
      data: {
        id: 5,
        printer: {
          state: 'printing', online: true,
          temps: { current: { tool: [200], bed: 60 }, target: { tool: [210], bed: 60 } },
        },
        filament: { 0: { type: { name: 'PLA' } } },
        job: { id: 3, uid: 'u', state: 'printing', file: 'a', percentage: 40, time: 5 },
      },
    },
    read: (device, envelope) => fromSimplyPrint(device, NOW, envelope, 5),
  },
};
const STATES = [
  'offline', 'idle', 'ready', 'heating', 'printing', 'paused', 'attention', 'finished', 'cancelled', 'error', 'unknown',
];
// What clients are handed is checked to be objects before; only what lies below may be damaged here.
const HANDED = new Set(['said', 'printer', 'said.printer', 'said.print_stats', 'job', 'history', 'history.0']);

/** Whether a value of a status fits its column. */
function fits(key, value) {
  if (value === null || typeof value === 'boolean' || key === 'recent_jobs') return true;
  if (key.startsWith('is_')) return false;
  return typeof value === 'string' ? value.isWellFormed() && !value.includes('\u0000') : Number.isFinite(value);
}

for (const [name, { body, read }] of Object.entries(ANSWERS)) {
  test(`${name}: ${COUNT} damaged answers give a status that fits the database, or a PollError`, () => {
    const all = paths(body).filter((path) => !HANDED.has(path.join('.')));
    for (let seed = 1; seed <= COUNT; seed += 1) {
      const { pick } = choices(seed);
      const path = pick(all);
      const junk = pick([...JUNK, null]);
      const what = `seed ${seed}, ${path.join('.')} = ${junk}`;
      const damagedBody = JSON.parse(damaged(body, path, junk));
      let status;
      try {
        status = read({ device_id: 'x' }, damagedBody);
      } catch (error) {
        assert.ok(error instanceof PollError, `${what}: ${error.stack}`);
        continue;
      }
      assert.ok(STATES.includes(status.state), `${what}: ${status.state}`);
      for (const [key, value] of Object.entries(status)) {
        assert.ok(fits(key, value), `${what}: ${key} is ${JSON.stringify(value)}`);
      }
      assert.ok(status.progress_percent === null || (status.progress_percent >= 0 && status.progress_percent <= 100));
      step({ device_id: 'x' }, null, null, status, AT);
    }
  });
}
