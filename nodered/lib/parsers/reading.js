'use strict';
// The one shape in which every parser hands a reading on (columns of ingest_readings).

/**
 * @param {string} meterId   e.g. `SPPS-02/switch:0`
 * @param {string} protocol  shelly_gen2 | shelly_gen1 | tasmota
 * @param {object} values    any of power_watts, voltage, current_amps, power_factor, frequency_hz, plug_temp_c
 * @param {number|null} totalWh  the counter of this very message (never an older one: an old counter would move energy in time)
 * @param {string|null} deviceTime  ISO time by the device's own clock, null when it sends none
 * @param {{arrived?: string, backlog?: boolean}} message  how it reached us
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
    topic,
  };
}

/** What a parser answers when the message tells nothing that can be used. */
const refused = (reason, previous) => ({ readings: [], reject: reason, previous });

/** … when the message is well known and carries no measurement (a relay position, Wi-Fi state …). */
const ignored = (why, previous, more) => ({ readings: [], reject: null, previous, ignored: why, ...more });

module.exports = { reading, refused, ignored };
