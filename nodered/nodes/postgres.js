'use strict';
// The `postgres` node: statements with `$1` parameters, or rows in batches with a disk spool behind them.

const { RowWriter } = require('./row-writer');
const { columnLiteral } = require('./arrays');
const { acquirePool } = require('./pools');
const metrics = require('./metrics');
const pipeline = require('./pipeline');
const { stateFolder } = require('./state');

const STATUS_EVERY_MS = 2000;
const REJECT_PAYLOAD_CHARACTERS = 4000;
const RECORD_REJECTS = 'SELECT record_rejects($1::text[], $2::text[], $3::text[], $4::text[])';

module.exports = function register(RED) {
  function PostgresNode(config) {
    RED.nodes.createNode(this, config);
    const node = this;
    let connection;
    try {
      connection = acquirePool({
        role: config.role || 'ingest',
        timeoutMs: (Number(config.timeout) || 30) * 1000,
        onError: (error) => node.log(`connection lost: ${error.message}`),
      });
    } catch (error) {
      node.status({ fill: 'red', shape: 'ring', text: error.message });
      node.error(error.message);
      return;
    }
    if (config.mode === 'query') queryMode(node, config, connection);
    else batchMode(node, config, connection);
  }

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

  function batchMode(node, config, { pool, release }) {
    const columns = (config.columns || '').split(/[\s,]+/).filter(Boolean);
    const statement = { name: `batch-${node.id}`.slice(0, 60), text: config.statement };
    const label = node.name || node.id;
    const recordsRejects = /\brecord_rejects\(/.test(config.statement);

    const writer = new RowWriter({
      batchRows: Number(config.batchRows) || 500,
      batchMs: Number(config.batchMs) || 100,
      memoryRows: Number(config.memoryRows) || 10000,
      spoolBytes: (Number(config.spoolMegabytes) || 512) << 20,
      spoolFolder: stateFolder('spool', node.id),
      write: async (rows) => {
        const begun = performance.now();
        const values = columns.length > 0 ? columns.map((column) => columnLiteral(rows, column)) : [JSON.stringify(rows)];
        const answer = (await pool.query({ ...statement, values })).rows;
        metrics.batchWritten(label, (performance.now() - begun) / 1000, rows, answer);
        if (recordsRejects) metrics.rejectsWritten(rows);
        return answer;
      },
      reject: async (row, error) => {
        node.warn(`a row was refused: ${error.message}`);
        await pool.query(RECORD_REJECTS, [[label], [row.topic || row.meter_id || row.device_id || ''],
          [JSON.stringify(row).replaceAll('\\u0000', '').slice(0, REJECT_PAYLOAD_CHARACTERS)], [error.message]]);
        metrics.rejectsWritten([{ source: label }]);
      },
      written: (result, rows) => { if (node.wires[0]?.length) node.send({ payload: result, count: rows.length }); },
      changed: (failure) => {
        if (failure) node.warn(`rows wait on disk: ${failure}`);
        else node.log('the database takes rows again');
      },
    });
    const sink = {
      label,
      flush: async () => {
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
    pipeline.addSink(sink);

    let shown = { committed: 0, lost: 0 };
    const showStatus = () => {
      const rate = Math.round((writer.committedRows - shown.committed) * 1000 / STATUS_EVERY_MS);
      if (writer.lostRows > shown.lost) node.error(`${writer.lostRows - shown.lost} rows were lost: neither the database nor the disk could take them`);
      shown = { committed: writer.committedRows, lost: writer.lostRows };
      let text = `${rate} rows/s`;
      if (writer.queued > 0) text += `, ${writer.queued} queued`;
      if (writer.rejectedRows > 0) text += `, ${writer.rejectedRows} refused`;
      let fill = 'green';
      if (writer.spooling) {
        fill = 'yellow';
        text = `${writer.spooled} rows on disk${writer.failure ? ': ' + writer.failure.slice(0, 40) : `, ${text}`}`;
      }
      if (writer.spoolFull || writer.lostRows > 0) fill = 'red';
      if (writer.spoolFull) text = `spool full, ${text}`;
      if (writer.lostRows > 0) text += `, ${writer.lostRows} lost`;
      if (text === node.shownText) return;
      node.shownText = text;
      node.status({ fill, shape: 'dot', text });
    };
    const timer = setInterval(showStatus, STATUS_EVERY_MS);

    node.on('input', (msg, send, done) => {
      if (!Array.isArray(msg.payload)) return done(new Error('msg.payload must be an array of rows'));
      if (msg.payload.length > 0) writer.add(msg.payload);
      done();
    });
    node.on('close', async (done) => {
      clearInterval(timer);
      await writer.close();
      pipeline.removeSink(sink);
      await release();
      done();
    });
  }

  RED.nodes.registerType('postgres', PostgresNode);
};
