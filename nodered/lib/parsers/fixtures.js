'use strict';
// Messages as the makers' documentation and real devices show them, with the exact rows that they must give. Shared by
// the tests.

const AT = '2026-03-01T12:00:00.000Z';
const blank = {
  energy_type: 'electricity', arrived: AT, device_time: null, backlog: false, power_watts: null, energy_total_wh: null,
  voltage: null, current_amps: null, power_factor: null, frequency_hz: null, plug_temp_c: null,
  phases: null,
};

const plusPlugS = {
  id: 0, source: 'init', output: true, apower: 2.7, voltage: 227.9, current: 0.121,
  aenergy: { total: 7258.589, by_minute: [34.786, 45.552, 45.552], minute_ts: 1707326925 },
  temperature: { tC: 32.1, tF: 89.7 },
};
const pro4pmChannel = {
  id: 2, source: 'init', output: false, apower: 0, voltage: 121.8, freq: 60, current: 0, pf: 0,
  aenergy: { total: 0, by_minute: [0, 0, 0], minute_ts: 1708381882 }, temperature: { tC: 25.6, tF: 78 },
};
const pm1 = {
  id: 0, voltage: 230.1, current: 1.5, apower: 340.5, freq: 50, aenergy: { total: 12.5 },
  temperature: { tC: null, tF: null },
};
const em = {
  id: 0, a_current: 4, a_voltage: 229, a_act_power: 1200.5, a_aprt_power: 1210, a_pf: 0.99, a_freq: 50, b_current: 3,
  b_voltage: 230, b_act_power: -100, b_aprt_power: 690, b_pf: 0.14, b_freq: 50, c_current: 2, c_voltage: 231,
  c_act_power: 900, c_aprt_power: 910, c_pf: null, c_freq: 50, n_current: null, total_current: 9,
  total_act_power: 2000.5, total_aprt_power: 2070, user_calibrated_phase: [],
};
const tasmotaEnergy = {
  TotalStartTime: '2024-11-01T10:00:00', Total: 0.904, Yesterday: 0.636, Today: 0.258, Period: 0, Power: 122,
  ApparentPower: 126, ReactivePower: 33, Factor: 0.96, Voltage: 243, Current: 0.521,
};
const TASMOTA_ROW = { power_watts: 122, voltage: 243, current_amps: 0.521, power_factor: 0.96 };
const tasmotaPhases = {
  Total: [1, 2.5, '3'], Power: [100, 200, 300], Voltage: [229, 230, 231], Current: [0.5, 1, 1.5], Factor: 1,
};
const notify = (params, method = 'NotifyStatus') =>
  ({ src: 'shellyplusplugs-1', dst: 'shellyplusplugs-1/events', method, params });

/**
 * `body` is what is sent (an object as JSON, text as it is), `rows` what the readings must contain besides the blank
 * ones. Each stands alone: nothing is remembered from before.
 * @typedef {{name: string, protocol: string, topic: string, body: any, rows: Record<string, any>[]}} Fixture
 * @type {Fixture[]}
 */
const SENT = [
  {
    name: 'Plus Plug S, full status', protocol: 'shelly_gen2', topic: 'SPPS-02/status/switch:0', body: plusPlugS,
    rows: [{
      meter_id: 'SPPS-02/switch:0', power_watts: 2.7, energy_total_wh: 7258.589, voltage: 227.9, current_amps: 0.121,
      plug_temp_c: 32.1,
    }],
  },
  {
    name: 'Pro 4PM, third channel, prefix with slashes', protocol: 'shelly_gen2', topic: 'hall/1/pro4/status/switch:2',
    body: pro4pmChannel,
    rows: [{
      meter_id: 'hall/1/pro4/switch:2', power_watts: 0, energy_total_wh: 0, voltage: 121.8, current_amps: 0,
      power_factor: 0, frequency_hz: 60, plug_temp_c: 25.6,
    }],
  },
  {
    name: 'meter without a relay', protocol: 'shelly_gen2', topic: 'pm/status/pm1:0', body: pm1,
    rows: [{
      meter_id: 'pm/pm1:0', power_watts: 340.5, energy_total_wh: 12.5, voltage: 230.1, current_amps: 1.5,
      frequency_hz: 50,
    }],
  },
  {
    name: 'notification with one changed key', protocol: 'shelly_gen2', topic: 'SPPS-02/events/rpc',
    body: notify({ ts: 1707326930.25, 'switch:0': { id: 0, apower: 579.0 } }),
    rows: [{ meter_id: 'SPPS-02/switch:0', device_time: '2024-02-07T17:28:50.250Z', power_watts: 579 }],
  },
  {
    name: 'notification of two channels, clock without NTP', protocol: 'shelly_gen2', topic: 'p/events/rpc',
    body: notify({
      ts: 12.5, 'switch:0': { id: 0, aenergy: { total: 5.001 } }, 'switch:3': { id: 3, apower: 1 }, sys: { mac: 'x' },
    }),
    rows: [
      { meter_id: 'p/switch:0', device_time: '1970-01-01T00:00:12.500Z', energy_total_wh: 5.001 },
      { meter_id: 'p/switch:3', device_time: '1970-01-01T00:00:12.500Z', power_watts: 1 },
    ],
  },
  {
    name: 'full notification of a three-phase meter', protocol: 'shelly_gen2', topic: 'em/events/rpc',
    body: notify({
      ts: 1707326930, 'em:0': em, 'emdata:0': { id: 0, a_total_act_energy: 1, total_act: 123456.78, total_act_ret: 0 },
    }, 'NotifyFullStatus'),
    rows: [{
      meter_id: 'em/em:0', device_time: '2024-02-07T17:28:50.000Z', power_watts: 2000.5, energy_total_wh: 123456.78,
      voltage: 230, current_amps: 9, frequency_hz: 50,
      phases: [
        { phase: 1, power_watts: 1200.5, voltage: 229, current_amps: 4, power_factor: 0.99 },
        { phase: 2, power_watts: -100, voltage: 230, current_amps: 3, power_factor: 0.14 },
        { phase: 3, power_watts: 900, voltage: 231, current_amps: 2 },
      ],
    }],
  },
  {
    name: 'Gen1 power', protocol: 'shelly_gen1', topic: 'shellies/plug-1/relay/0/power', body: '86.42',
    rows: [{ meter_id: 'plug-1/relay:0', power_watts: 86.42 }],
  },
  {
    name: 'Gen1 watt-minutes', protocol: 'shelly_gen1', topic: 'shellies/plug-1/relay/0/energy', body: '2640',
    rows: [{ meter_id: 'plug-1/relay:0', energy_total_wh: 44 }],
  },
  {
    name: 'Gen1 energy meter', protocol: 'shelly_gen1', topic: 'shellies/em3/emeter/2/total', body: '1234.5',
    rows: [{ meter_id: 'em3/emeter:2', energy_total_wh: 1234.5 }],
  },
  {
    name: 'Tasmota SENSOR', protocol: 'tasmota', topic: 'tele/plug/SENSOR',
    body: { Time: '2025-02-12T22:47:39', ENERGY: tasmotaEnergy },
    rows: [{ meter_id: 'plug', ...TASMOTA_ROW, energy_total_wh: 904 }],
  },
  {
    name: 'Tasmota STATUS10 with a Total as text', protocol: 'tasmota', topic: 'stat/plug/STATUS10',
    body: { StatusSNS: { Time: '2025-02-12T22:47:39', ENERGY: { ...tasmotaEnergy, Total: '1.001' } } },
    rows: [{ meter_id: 'plug', ...TASMOTA_ROW, energy_total_wh: 1001 }],
  },
  {
    name: 'Tasmota with three phases', protocol: 'tasmota', topic: 'tele/hall/2/plug/SENSOR',
    body: { Time: '2025-02-12T22:47:39', ENERGY: tasmotaPhases },
    rows: [{
      meter_id: 'hall/2/plug', power_watts: 600, energy_total_wh: 6500, voltage: 230, current_amps: 3, power_factor: 1,
      phases: [
        { phase: 1, power_watts: 100, voltage: 229, current_amps: 0.5 },
        { phase: 2, power_watts: 200, voltage: 230, current_amps: 1 },
        { phase: 3, power_watts: 300, voltage: 231, current_amps: 1.5 },
      ],
    }],
  },
];

/** @type {(Fixture & {payload: string})[]} */
const MESSAGES = SENT.map((message) => ({
  ...message,
  payload: typeof message.body === 'string' ? message.body : JSON.stringify(message.body),
  rows: message.rows.map((row) => ({ ...blank, ...row, protocol: message.protocol, topic: message.topic })),
}));

module.exports = { AT, MESSAGES, plusPlugS, tasmotaEnergy, notify };
