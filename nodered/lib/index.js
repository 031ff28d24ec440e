'use strict';
// Everything that the flows use, as the global `enms`. See README.md for what is where.

const { route, subscriptions, TABS } = require('./routes');
const { createIngest, createMemory, parseBatch } = require('./ingest');
const { poll, PollError, SOURCES } = require('./printers');
const { step } = require('./jobs');
const { createPollMemory, duePrinters, pollAll } = require('./polling');
const { validateDevice, describeTest, withoutCredentials } = require('./devices');

module.exports = {
  route, subscriptions, TABS, createIngest, createMemory, parseBatch,
  poll, PollError, SOURCES, createPollMemory, duePrinters, pollAll, step,
  validateDevice, describeTest, withoutCredentials,
};
