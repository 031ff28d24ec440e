'use strict';
// Everything that the flows use, as the global `enms`. See README.md for what is where.

const { route, subscriptions, TABS } = require('./routes');
const { createIngest, createMemory, parseBatch } = require('./ingest');
const { poll, PollError, SOURCES } = require('./printers');
const { step } = require('./jobs');

module.exports = { route, subscriptions, TABS, createIngest, createMemory, parseBatch, poll, PollError, SOURCES, step };
