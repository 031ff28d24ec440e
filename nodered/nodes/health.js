'use strict';
// What the service knows about itself, for the readiness gate, `./enms status` and the Housekeeping tab.

const { monitorEventLoopDelay } = require('node:perf_hooks');
const pipeline = require('./pipeline');
const { databaseProblem } = require('./pools');

const sources = new Set();
const RESOLUTION_MS = 20;
const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
let flowsStarted = false;

const addSource = (source) => { sources.add(source); };
const removeSource = (source) => { sources.delete(source); };

/** Begin measuring the event loop, and learn from Node-RED when the flows run. */
function watch(RED) {
  delays.enable();
  RED.events.on('flows:started', () => { flowsStarted = true; });
  RED.events.on('flows:stopped', () => { flowsStarted = false; });
}

/**
 * {ok, flows, mqtt, database, sources[], spool{}, event_loop_p99_ms, event_loop_max_ms, memory_mb}; ok means ready to work: flows run, every
 * mqtt-ingest is connected, the database answers. The event-loop figures (how late it came to its work) cover the time since the last call.
 */
async function health() {
  const problem = await databaseProblem();
  const list = Array.from(sources, (source) => ({
    client_id: source.clientId, connected: source.connected, backlog: source.backlog,
    received: source.received, unsafe: source.unsafe, problem: source.problem,
  }));
  const mqtt = list.length > 0 && list.every(({ connected }) => connected);
  const { queued, spooled, spoolBytes, failing } = pipeline.sinkDepth();
  const late = (nanoseconds) => Math.round(Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS) * 10) / 10;
  const [p99, max] = [late(delays.percentile(99)), late(delays.max)];
  delays.reset();
  return {
    ok: flowsStarted && mqtt && problem === null,
    flows: flowsStarted ? 'started' : 'stopped',
    mqtt: mqtt ? 'connected' : 'not connected',
    database: problem ?? 'ok',
    sources: list,
    spool: { queued_rows: queued, spooled_rows: spooled, bytes: spoolBytes, failing },
    event_loop_p99_ms: p99,
    event_loop_max_ms: max,
    memory_mb: Math.round(process.memoryUsage().rss / 1048576),
  };
}

module.exports = { addSource, removeSource, watch, health };
