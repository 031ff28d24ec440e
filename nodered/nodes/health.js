'use strict';
// What the service knows about itself, for the readiness gate, `./enms status` and the Housekeeping tab.

/** @import { Health, Runtime, Source } from './types' */

const { monitorEventLoopDelay } = require('node:perf_hooks');
const pipeline = require('./pipeline');
const { databaseProblem } = require('./pools');

/** @type {Set<Source>} */
const sources = new Set();
const RESOLUTION_MS = 20;
const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
let flowsStarted = false;

/** @param {Source} source */
const addSource = (source) => { sources.add(source); };
/** @param {Source} source */
const removeSource = (source) => { sources.delete(source); };
/** @returns {Iterable<Source>} */
const allSources = () => sources;
/** @returns {boolean} */
const flowsRun = () => flowsStarted;

/**
 * Begins measuring the event loop, and learns from Node-RED when the flows run.
 * @param {Runtime} RED
 */
function watch(RED) {
  delays.enable();
  RED.events.on('flows:started', () => { flowsStarted = true; });
  RED.events.on('flows:stopped', () => { flowsStarted = false; });
}

/**
 * How late the event loop came to its work.
 * @param {number} nanoseconds  a delay as it was measured
 * @returns {number} milliseconds
 */
const late = (nanoseconds) => Math.round(Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS) * 10) / 10;

/**
 * Looks at everything. Ready means: flows run, every mqtt-ingest is connected, the database answers.
 * @returns {Promise<Health>} its figures of the event loop cover the time since the last call
 */
async function health() {
  const problem = await databaseProblem();
  const list = Array.from(sources, (source) => ({
    client_id: source.clientId, connected: source.connected, backlog: source.backlog,
    received: source.received, unsafe: source.unsafe, problem: source.problem,
  }));
  const connected = list.length > 0 && list.every((source) => source.connected);
  const { queued, spooled, spoolBytes, failing } = pipeline.sinkDepth();
  const [p99, max] = [late(delays.percentile(99)), late(delays.max)];
  delays.reset();
  return {
    ok: flowsStarted && connected && problem === null,
    flows: flowsStarted ? 'started' : 'stopped',
    mqtt: connected ? 'connected' : 'not connected',
    database: problem ?? 'ok',
    sources: list,
    spool: { queued_rows: queued, spooled_rows: spooled, bytes: spoolBytes, failing },
    event_loop_p99_ms: p99,
    event_loop_max_ms: max,
    memory_mb: Math.round(process.memoryUsage().rss / 1048576),
  };
}

module.exports = { addSource, removeSource, allSources, flowsRun, watch, health };
