'use strict';
// source → client. Every client has one function: async poll(device, {timeoutMs = 8000, now, base}) → status, or it throws PollError.

const { PollError } = require('./poll-error');

const CLIENTS = {
  prusalink: require('./prusalink'),
  octoprint: require('./octoprint'),
  moonraker: require('./moonraker'),
  simplyprint: require('./simplyprint'),
};

/** The status of a device, by its source. Whatever goes wrong comes out as a PollError. */
async function poll(device, options) {
  const client = CLIENTS[device.source];
  if (client === undefined) throw new PollError('config', `A device of source "${device.source}" is not polled: use one of ${Object.keys(CLIENTS).join(', ')}.`);
  try {
    return await client.poll(device, options);
  } catch (error) {
    throw error instanceof PollError ? error : new PollError('payload', `The answer of the printer could not be understood (${error.message}).`);
  }
}

module.exports = { poll, CLIENTS, PollError, SOURCES: Object.keys(CLIENTS) };
