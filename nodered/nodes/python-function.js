'use strict';
// The `python-function` node: a Python function or a typed script, run by the shared warm workers.

const { PythonPool } = require('./python-pool');

let shared = null;

/** All nodes share one pool; it is as large as the largest wish and ends with the last node. */
function acquireShared(size, log) {
  shared ??= { pool: new PythonPool({ python: process.env.ENMS_PYTHON || 'python3', log }), users: 0 };
  shared.users += 1;
  shared.pool.size = Math.max(shared.pool.size, size);
  return shared.pool;
}

async function releaseShared() {
  shared.users -= 1;
  if (shared.users > 0) return;
  const { pool } = shared;
  shared = null;
  await pool.close();
}

module.exports = function register(RED) {
  function PythonFunctionNode(config) {
    RED.nodes.createNode(this, config);
    const node = this;
    const pool = acquireShared(Number(config.concurrency) || 1, (line) => RED.log.info(`[python] ${line}`));
    const limits = { timeoutMs: (Number(config.timeout) || 30) * 1000, queueLimit: Number(config.queueLimit) || 100 };
    node.on('input', async (msg, send, done) => {
      const call = config.call === 'script' ? { script: config.script } : { target: config.target };
      const begun = process.hrtime.bigint();
      try {
        msg.payload = await pool.call({ ...call, payload: msg.payload }, limits);
        const milliseconds = Number((process.hrtime.bigint() - begun) / 100000n) / 10;
        node.status({ fill: 'green', shape: 'dot', text: `${milliseconds} ms` });
        send(msg);
        done();
      } catch (error) {
        msg.traceback = error.traceback;
        node.status({ fill: 'red', shape: 'ring', text: error.message.slice(0, 60) });
        done(error);
      }
    });
    node.on('close', (done) => { releaseShared().finally(done); });
  }
  RED.nodes.registerType('python-function', PythonFunctionNode);
};
