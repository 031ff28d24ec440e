'use strict';
// The `python-function` node: a Python function or a typed script, run by the shared warm workers.

const { PythonPool } = require('./python-pool');

// A call that takes longer than this shows on the node that it is under way.
const SLOW_MS = 300;

let shared = null;

/** All nodes share one pool with room for what each may run at once; it ends with the last node. */
function acquireShared(workers, log) {
  shared ??= { pool: new PythonPool({ python: process.env.ENMS_PYTHON || 'python3', size: 0, log }), users: 0 };
  shared.users += 1;
  shared.pool.size += workers;
  return shared.pool;
}

async function releaseShared(workers) {
  shared.users -= 1;
  shared.pool.size -= workers;
  if (shared.users > 0) return;
  const { pool } = shared;
  shared = null;
  await pool.close();
}

const atLine = (error) => (error.line ? `line ${error.line}: ${error.message}` : error.message);

module.exports = function register(RED) {
  function PythonFunctionNode(config) {
    RED.nodes.createNode(this, config);
    const node = this;
    const concurrency = Math.max(1, Number(config.concurrency) || 1);
    const pool = acquireShared(concurrency, (line) => RED.log.info(`[python] ${line}`));
    const limits = { timeoutMs: (Number(config.timeout) || 30) * 1000, queueLimit: Number(config.queueLimit) || 100, lane: node.id, concurrency };
    const script = config.call === 'script';
    const call = { ...(script ? { script: config.script } : { target: config.target }), typedArrays: config.arrays === 'typed' };
    let closed = false;
    const failed = (error) => node.status({ fill: 'red', shape: 'ring', text: atLine(error).slice(0, 60) });
    const waiting = () => (pool.queued(node.id) > 0 ? `, ${pool.queued(node.id)} wait` : '');

    // A typing mistake shows when the flow is deployed, not with the first message.
    if (script) {
      pool.call({ ...call, check: true }, limits).catch((error) => {
        if (closed) return;
        failed(error);
        node.error(`the script of "${node.name || node.id}": ${atLine(error)}`);
      });
    }

    node.on('input', async (msg, send, done) => {
      const begun = process.hrtime.bigint();
      const slow = setTimeout(() => node.status({ fill: 'blue', shape: 'ring', text: `${pool.running(node.id)} at work${waiting()}` }), SLOW_MS);
      try {
        msg.payload = await pool.call({ ...call, payload: msg.payload }, limits);
        const milliseconds = Number((process.hrtime.bigint() - begun) / 100000n) / 10;
        node.status({ fill: 'green', shape: 'dot', text: `${milliseconds} ms${waiting()}` });
        send(msg);
        done();
      } catch (error) {
        Object.assign(msg, { traceback: error.traceback, busy: error.busy === true });
        failed(error);
        done(atLine(error));
      } finally {
        clearTimeout(slow);
      }
    });
    node.on('close', (done) => {
      closed = true;
      releaseShared(concurrency).finally(done);
    });
  }
  RED.nodes.registerType('python-function', PythonFunctionNode);
};
