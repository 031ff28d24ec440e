'use strict';
// source → client. Every client has one function: async poll(device, options) → status, or it throws a PollError.

/** @import { Device, PollOptions, PrinterStatus } from '../types' */

const { PollError } = require('./poll-error');

const TIMEOUT_MS = 8000;
/** @type {Record<string, {poll: (device: Device, options: Required<PollOptions>) => Promise<PrinterStatus>}>} */
const CLIENTS = {
  prusalink: require('./prusalink'),
  octoprint: require('./octoprint'),
  moonraker: require('./moonraker'),
  simplyprint: require('./simplyprint'),
};
const SOURCES = Object.keys(CLIENTS);

/**
 * The status of a device, by its source.
 * @param {Device} device
 * @param {PollOptions} [options]
 * @returns {Promise<PrinterStatus>}
 * @throws {PollError} whatever goes wrong
 */
async function poll(device, { timeoutMs = TIMEOUT_MS, now = Date.now, openJob = null } = {}) {
  if (!SOURCES.includes(device.source)) {
    const remedy = `use one of ${SOURCES.join(', ')}.`;
    throw new PollError('config', `A device of source "${device.source}" is not polled: ${remedy}`);
  }
  try {
    return await CLIENTS[device.source].poll(device, { timeoutMs, now, openJob });
  } catch (error) {
    if (error instanceof PollError) throw error;
    throw new PollError('payload', `The answer of the printer could not be understood (${error.message}).`);
  }
}

module.exports = { poll, PollError, SOURCES };
