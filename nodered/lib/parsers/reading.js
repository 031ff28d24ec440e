'use strict';
// What every parser returns: the one shape of a reading (a record of ingest_readings), and the results without one.

/** @import { Arrival, MeterValues, ParserResult, PhaseValues, Presence, Protocol, Reading } from '../types' */

/**
 * A reading in the shape that all parsers share.
 * @param {string} meterId  for example `SPPS-02/switch:0`
 * @param {Protocol} protocol
 * @param {MeterValues & {phases?: PhaseValues[]}} values  phases: what this very message tells of each
 * @param {number | null} totalWh  the counter of this very message (never an older one: an old counter would move
 *   energy in time)
 * @param {string | null} deviceTime  ISO time by the device's own clock, null when it sends none
 * @param {string} topic
 * @param {Arrival} message  how it reached us
 * @returns {Reading}
 */
function reading(meterId, protocol, values, totalWh, deviceTime, topic, message) {
  return {
    meter_id: meterId,
    protocol,
    energy_type: 'electricity',
    arrived: message.arrived ?? null,
    device_time: deviceTime,
    backlog: message.backlog === true,
    power_watts: values.power_watts ?? null,
    energy_total_wh: totalWh,
    voltage: values.voltage ?? null,
    current_amps: values.current_amps ?? null,
    power_factor: values.power_factor ?? null,
    frequency_hz: values.frequency_hz ?? null,
    plug_temp_c: values.plug_temp_c ?? null,
    phases: values.phases?.length ? values.phases : null,
    topic,
  };
}

/**
 * The result when nothing of the message can be used.
 * @template Memory
 * @param {string} reason
 * @param {Memory | null} previous
 * @returns {ParserResult<Memory>}
 */
const refused = (reason, previous) => ({ readings: [], reject: reason, previous });

/**
 * The result when the message is well known and carries no measurement (a relay position, Wi-Fi state …).
 * @template Memory
 * @param {string} why
 * @param {Memory | null} previous
 * @param {{presence: Presence}} [more]
 * @returns {ParserResult<Memory>}
 */
const ignored = (why, previous, more) => ({ readings: [], reject: null, previous, ignored: why, ...more });

/**
 * The result of a Shelly's `online` topic. A device that comes or goes may have switched meanwhile: what it said before
 * is forgotten.
 * @template Memory
 * @param {string} device
 * @param {unknown} payload
 * @param {Memory | null} previous
 * @returns {ParserResult<Memory>}
 */
function online(device, payload, previous) {
  const word = typeof payload === 'string' ? payload.trim() : '';
  if (word !== 'true' && word !== 'false') return refused('online must be true or false', previous);
  const presence = { device, online: word === 'true' };
  return { readings: [], reject: null, previous: null, ignored: 'presence', presence };
}

module.exports = { reading, refused, ignored, online };
