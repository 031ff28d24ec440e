'use strict';
// Everything that the flows use, as the global `enms` (settings.js adds `auth` and `enrichment`). README.md says what
// is where.

const { createIngest } = require('./ingest');
const { poll, SOURCES } = require('./printers');
const { createPollMemory, duePrinters, pollAll } = require('./polling');
const { validateDevice, describeTest } = require('./devices');

module.exports = { createIngest, poll, SOURCES, createPollMemory, duePrinters, pollAll, validateDevice, describeTest };
