'use strict';
// What the ingest reports to Prometheus, at GET /api/nodered/metrics (behind the door: /metrics/ingest).
//
// Events are counted where they happen; what can be read at any time (queues, spools, connections) is read when it is
// asked for.

/** @import { Sink, Source, Row } from './types' */

const { Registry, Counter, Gauge, Histogram, collectDefaultMetrics } = require('prom-client');
const health = require('./health');
const pipeline = require('./pipeline');
const { databaseProblem } = require('./pools');

const LAG_BUCKETS_S = [0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 15, 60, 300, 3600];
const BATCH_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];
const CALL_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const READING_OUTCOMES = ['accepted', 'repeated', 'rejected', 'superseded'];

const registry = new Registry();
const registers = [registry];

// Process and Node.js: CPU, memory, garbage collection, event-loop lag.
collectDefaultMetrics({ register: registry });

/** @typedef {(labels: Record<string, string>, value: number) => void} Add */

/**
 * A metric whose values are read from live objects when it is asked for.
 * @param {typeof Counter | typeof Gauge} Type
 * @param {string} name
 * @param {string} help
 * @param {string[]} labelNames
 * @param {(add: Add) => void | Promise<void>} each  adds each value
 */
function read(Type, name, help, labelNames, each) {
  const metric = new Type({
    name, help, labelNames, registers,
    async collect() {
      metric.reset();
      await each((labels, value) => metric.inc(labels, value));
    },
  });
}

/**
 * @param {(source: Source) => number} value
 * @returns {(add: Add) => void}
 */
const eachSource = (value) => (add) => {
  for (const source of health.allSources()) add({ client: source.clientId }, value(source));
};
/**
 * @param {(sink: Sink) => number} value
 * @returns {(add: Add) => void}
 */
const eachSink = (value) => (add) => {
  for (const sink of pipeline.allSinks()) add({ node: sink.label }, value(sink));
};

read(Counter, 'enms_mqtt_messages_total', 'Messages taken from the broker since the node was started.', ['client'],
  eachSource(({ received }) => received));
read(Gauge, 'enms_mqtt_connected', '1 while the client is connected and subscribed, else 0.', ['client'],
  eachSource(({ connected }) => Number(connected)));
read(Gauge, 'enms_mqtt_journal_messages',
  'Messages on disk of which it is not certain yet that they are in the database.', ['client'],
  eachSource(({ unsafe }) => unsafe));
read(Counter, 'enms_rows_written_total', 'Rows committed to the database.', ['node'],
  eachSink(({ committed }) => committed));
read(Counter, 'enms_rows_refused_total', 'Rows that the database refused; they are kept in ingest_rejects.', ['node'],
  eachSink(({ refused }) => refused));
read(Counter, 'enms_rows_lost_total', 'Rows that neither the database nor the disk could take.', ['node'],
  eachSink(({ lost }) => lost));
read(Gauge, 'enms_rows_queued', 'Rows in memory that wait for the database.', ['node'],
  eachSink(({ queued }) => queued));
read(Gauge, 'enms_spool_rows', 'Rows on disk that wait for the database.', ['node'],
  eachSink(({ spooled }) => spooled));
read(Gauge, 'enms_spool_size_bytes', 'Size of the spool on disk.', ['node'],
  eachSink(({ spoolBytes }) => spoolBytes));
read(Gauge, 'enms_flows_running', '1 while the flows run, else 0.', [],
  (add) => add({}, Number(health.flowsRun())));
read(Gauge, 'enms_database_up', '1 when the database answers, else 0.', [],
  async (add) => add({}, Number(await databaseProblem() === null)));

const batchSeconds = new Histogram({
  name: 'enms_batch_duration_seconds',
  help: 'One batch of rows, from the statement to its commit.',
  labelNames: ['node'], buckets: BATCH_BUCKETS_S, registers,
});
const lagSeconds = new Histogram({
  name: 'enms_ingest_lag_seconds',
  help: 'From the arrival of a batch\'s first live message to its commit.',
  buckets: LAG_BUCKETS_S, registers,
});
const readings = new Counter({
  name: 'enms_readings_total',
  help: 'Readings by what the accounting said of them.',
  labelNames: ['outcome'], registers,
});
const rejects = new Counter({
  name: 'enms_rejects_total',
  help: 'Messages that were refused, by where they came from; ingest_rejects tells why.',
  labelNames: ['source'], registers,
});
const pollSeconds = new Histogram({
  name: 'enms_poll_duration_seconds',
  help: 'One poll of a printer, by kind and outcome (ok, or the kind of failure).',
  labelNames: ['source', 'outcome'], buckets: CALL_BUCKETS_S, registers,
});
const pythonSeconds = new Histogram({
  name: 'enms_python_call_duration_seconds',
  help: 'One call of Python with its wait for a worker, by outcome (ok, error or busy).',
  labelNames: ['node', 'outcome'], buckets: CALL_BUCKETS_S, registers,
});

for (const outcome of READING_OUTCOMES) readings.inc({ outcome }, 0);

/**
 * A batch was committed.
 * @param {string} node  label of the postgres node
 * @param {number} seconds  how long it took
 * @param {Row[]} rows
 * @param {Row[]} result  what the database's function returned
 */
function batchWritten(node, seconds, rows, result) {
  batchSeconds.observe({ node }, seconds);
  const live = rows.find(({ arrived, backlog }) => arrived !== undefined && !backlog);
  if (live) lagSeconds.observe(Math.max(0, (Date.now() - Date.parse(live.arrived)) / 1000));
  const answer = result?.[0]?.answer ?? {};
  for (const outcome of READING_OUTCOMES) {
    if (Number.isFinite(answer[outcome])) readings.inc({ outcome }, answer[outcome]);
  }
}

/**
 * Rejects were recorded.
 * @param {{source?: unknown}[]} rows
 */
const rejectsWritten = (rows) => { for (const { source } of rows) rejects.inc({ source: String(source) }); };

/**
 * Begins to watch the Python workers.
 * @param {() => {waiting: unknown[], workers: Set<unknown>} | null} pool  the shared PythonPool, or null while no node
 *   uses one
 */
function watchPython(pool) {
  read(Gauge, 'enms_python_calls_waiting', 'Calls of Python that wait for a worker.', [],
    (add) => add({}, pool()?.waiting.length ?? 0));
  read(Gauge, 'enms_python_workers', 'Python workers that run.', [],
    (add) => add({}, pool()?.workers.size ?? 0));
}

/**
 * A printer was polled.
 * @param {string} source
 * @param {string} outcome  `ok`, or the kind of failure
 * @param {number} seconds
 */
const observePoll = (source, outcome, seconds) => pollSeconds.observe({ source, outcome }, seconds);

/**
 * Python was called.
 * @param {string} node
 * @param {'ok' | 'error' | 'busy'} outcome
 * @param {number} seconds
 */
const observePython = (node, outcome, seconds) => pythonSeconds.observe({ node, outcome }, seconds);

module.exports = { registry, batchWritten, rejectsWritten, watchPython, observePoll, observePython };
