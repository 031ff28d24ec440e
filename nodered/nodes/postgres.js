'use strict';
// The `postgres` node: statements with `$1` parameters, or rows in batches with a disk spool behind them.

/** @import { FlowNode, NodeStatus, PostgresConfig, Row, Runtime, Sink } from './types' */

const { RowWriter } = require('./row-writer');
const { columnLiteral } = require('./arrays');
const { recordsJson, listsJson } = require('./records');
const { acquirePool } = require('./pools');
const metrics = require('./metrics');
const pipeline = require('./pipeline');
const { stateFolder } = require('./state');

const STATUS_EVERY_MS = 2000;
const REJECT_PAYLOAD_CHARACTERS = 4000;
const RECORD_REJECTS = 'SELECT record_rejects($1::text[], $2::text[], $3::text[], $4::text[])';

/** @typedef {ReturnType<typeof acquirePool>} Connection */

/**
 * Registers the node.
 * @param {Runtime} RED
 */
module.exports = function register(RED) {
  /**
   * @this {FlowNode}
   * @param {PostgresConfig} config
   */
  function PostgresNode(config) {
    RED.nodes.createNode(this, config);
    let connection;
    try {
      connection = acquirePool({
        role: config.role || 'ingest',
        timeoutMs: (Number(config.timeout) || 30) * 1000,
        onError: (error) => this.log(`connection lost: ${error.message}`),
      });
    } catch (error) {
      this.status({ fill: 'red', shape: 'ring', text: error.message });
      this.error(error.message);
      return;
    }
    if (config.mode === 'query') queryMode(this, config, connection);
    else batchMode(this, config, connection);
  }

  RED.nodes.registerType('postgres', PostgresNode);
};

/**
 * One statement per message.
 * @param {FlowNode} node
 * @param {PostgresConfig} config
 * @param {Connection} connection
 */
function queryMode(node, config, { pool, release }) {
  const numbers = Array.from((config.statement || '').matchAll(/\$(\d+)/g), ([, number]) => Number(number));
  const parameters = Math.max(0, ...numbers);
  node.on('input', async (msg, send, done) => {
    try {
      if (config.whenDrained && pipeline.sinkDepth().spooled > 0) {
        node.status({ fill: 'yellow', shape: 'ring', text: 'not asked: newer rows still wait on disk' });
        return done();
      }
      const result = await pool.query(config.statement, (msg.params ?? []).slice(0, parameters));
      msg.payload = result.rows;
      msg.rowCount = result.rowCount;
      node.status({});
      send(msg);
      done();
    } catch (error) {
      msg.sqlstate = error.code;
      node.status({ fill: 'red', shape: 'ring', text: error.message.slice(0, 60) });
      // The sentence alone: PostgreSQL's errors name what is wrong, the stack of the driver does not.
      done(error.message);
    }
  });
  node.on('close', (done) => { release().finally(done); });
}

/**
 * Rows of many messages in one statement.
 * @param {FlowNode} node
 * @param {PostgresConfig} config
 * @param {Connection} connection
 */
function batchMode(node, config, connection) {
  const label = node.name || node.id;
  const writer = createWriter(node, config, connection, label);
  const sink = sinkOf(writer, label);
  pipeline.addSink(sink);
  const timer = setInterval(statusOf(node, writer), STATUS_EVERY_MS);
  node.on('input', (msg, _send, done) => {
    if (!Array.isArray(msg.payload)) return done(new Error('msg.payload must be an array of rows'));
    if (msg.payload.length > 0) writer.add(msg.payload);
    done();
  });
  node.on('close', async (done) => {
    clearInterval(timer);
    await writer.close();
    pipeline.removeSink(sink);
    await connection.release();
    done();
  });
}

/**
 * @param {FlowNode} node
 * @param {PostgresConfig} config
 * @param {Connection} connection
 * @param {string} label
 */
function createWriter(node, config, { pool }, label) {
  const parameters = parametersOf(config.columns || '');
  const statement = { name: `batch-${node.id}`.slice(0, 60), text: config.statement };
  const recordsRejects = /\brecord_rejects\(/.test(config.statement);
  return new RowWriter({
    batchRows: Number(config.batchRows) || 500,
    batchMs: Number(config.batchMs) || 100,
    memoryRows: Number(config.memoryRows) || 10000,
    spoolBytes: (Number(config.spoolMegabytes) || 512) << 20,
    spoolFolder: stateFolder('spool', node.id),
    write: async (rows) => {
      const began = performance.now();
      const answer = (await pool.query({ ...statement, values: parameters(rows) })).rows;
      metrics.batchWritten(label, (performance.now() - began) / 1000, rows, answer);
      if (recordsRejects) metrics.rejectsWritten(rows);
      return answer;
    },
    reject: async (row, error) => {
      node.warn(`a row was refused: ${error.message}`);
      const topic = row.topic || row.meter_id || row.device_id || '';
      const payload = JSON.stringify(row).replaceAll('\\u0000', '').slice(0, REJECT_PAYLOAD_CHARACTERS);
      await pool.query(RECORD_REJECTS, [[label], [topic], [payload], [error.message]]);
      metrics.rejectsWritten([{ source: label }]);
    },
    written: (result, rows) => { if (node.wires[0]?.length) node.send({ payload: result, count: rows.length }); },
    changed: (failure) => {
      if (failure) node.warn(`rows wait on disk: ${failure}`);
      else node.log('the database takes rows again');
    },
  });
}

/**
 * How rows become the parameters of the statement.
 * @param {string} setting  the field Columns
 * @returns {(rows: Row[]) => string[]}
 */
function parametersOf(setting) {
  const columns = setting.split(/[\s,]+/).filter(Boolean);
  if (columns.length === 0) return (rows) => [recordsJson(rows)];
  if (columns[0] === '*') return (rows) => [listsJson(rows)];
  return (rows) => columns.map((column) => columnLiteral(rows, column));
}

/**
 * @param {RowWriter} writer
 * @param {string} label
 * @returns {Sink}
 */
function sinkOf(writer, label) {
  return {
    label,
    async flush() {
      await writer.flush();
      await writer.spool.sync();
    },
    get congested() { return writer.congested; },
    get queued() { return writer.queued; },
    get spooled() { return writer.spooled; },
    get spoolBytes() { return writer.spoolUsedBytes; },
    get failure() { return writer.failure; },
    get committed() { return writer.committedRows; },
    get refused() { return writer.rejectedRows; },
    get lost() { return writer.lostRows; },
  };
}

/**
 * What is to be called every STATUS_EVERY_MS: shows what has become of the rows, and reports those that were lost.
 * @param {FlowNode} node
 * @param {RowWriter} writer
 */
function statusOf(node, writer) {
  let committed = 0;
  let lost = 0;
  /** @type {string | undefined} */
  let shown;
  return () => {
    const rate = Math.round((writer.committedRows - committed) * 1000 / STATUS_EVERY_MS);
    const newlyLost = writer.lostRows - lost;
    if (newlyLost > 0) node.error(`${newlyLost} rows were lost: neither the database nor the disk could take them`);
    committed = writer.committedRows;
    lost = writer.lostRows;
    const status = describe(writer, rate);
    if (status.text === shown) return;
    shown = status.text;
    node.status(status);
  };
}

/**
 * @param {RowWriter} writer
 * @param {number} rate  rows per second
 * @returns {NodeStatus}
 */
function describe(writer, rate) {
  let text = `${rate} rows/s`;
  if (writer.queued > 0) text += `, ${writer.queued} queued`;
  if (writer.rejectedRows > 0) text += `, ${writer.rejectedRows} refused`;
  if (writer.spooling) {
    text = `${writer.spooled} rows on disk${writer.failure ? `: ${writer.failure.slice(0, 40)}` : `, ${text}`}`;
  }
  if (writer.spoolFull) text = `spool full, ${text}`;
  if (writer.lostRows > 0) text += `, ${writer.lostRows} lost`;
  const isBad = writer.spoolFull || writer.lostRows > 0;
  return { fill: isBad ? 'red' : writer.spooling ? 'yellow' : 'green', shape: 'dot', text };
}
