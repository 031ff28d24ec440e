'use strict';
// The `python-function` node: a Python function or a typed script, run by the shared warm workers.

/** @import { FlowNode, PythonFunctionConfig, Runtime } from './types' */
/** @import { Call, Limits } from './python-pool' */

const metrics = require('./metrics');
const { PythonPool } = require('./python-pool');

// A call that takes longer than this shows on the node that it is under way.
const SLOW_MS = 300;

/** @type {PythonPool | null}  while a node uses it */
let shared = null;
let users = 0;
metrics.watchPython(() => shared);

/**
 * All nodes share one pool with room for what each may run at once; it ends with the last node.
 * @param {number} workers
 * @param {(line: string) => void} log
 */
function acquireShared(workers, log) {
  shared ??= new PythonPool({ python: process.env.ENMS_PYTHON || 'python3', size: 0, log });
  users += 1;
  shared.size += workers;
  return shared;
}

/**
 * @param {PythonPool} pool
 * @param {number} workers
 */
async function releaseShared(pool, workers) {
  users -= 1;
  pool.size -= workers;
  if (users > 0) return;
  shared = null;
  await pool.close();
}

/** @param {Error & {line?: number | null}} error */
const atLine = (error) => (error.line ? `line ${error.line}: ${error.message}` : error.message);

/**
 * What a node calls, as its settings say.
 * @param {PythonFunctionConfig} config
 * @returns {Call}
 */
function callOf({ call, script, target, arrays }) {
  return { ...(call === 'script' ? { script } : { target }), typedArrays: arrays === 'typed' };
}

/**
 * Registers the node.
 * @param {Runtime} RED
 */
module.exports = function register(RED) {
  /**
   * @this {FlowNode}
   * @param {PythonFunctionConfig} config
   */
  function PythonFunctionNode(config) {
    RED.nodes.createNode(this, config);
    const label = this.name || this.id;
    const concurrency = Math.max(1, Number(config.concurrency) || 1);
    const pool = acquireShared(concurrency, (msg) => RED.log.log({ level: RED.log.INFO, type: 'python', msg }));
    /** @type {Limits} */
    const limits = {
      timeoutMs: (Number(config.timeout) || 30) * 1000,
      queueLimit: Number(config.queueLimit) || 100,
      lane: this.id,
      concurrency,
    };
    const call = callOf(config);
    let closed = false;
    /** @param {Error} error */
    const failed = (error) => this.status({ fill: 'red', shape: 'ring', text: atLine(error).slice(0, 60) });
    const waiting = () => (pool.queued(this.id) > 0 ? `, ${pool.queued(this.id)} wait` : '');
    const atWork = () => {
      this.status({ fill: 'blue', shape: 'ring', text: `${pool.running(this.id)} at work${waiting()}` });
    };

    // A typing mistake shows when the flow is deployed, not with the first message.
    if (config.call === 'script') {
      pool.call({ ...call, check: true }, limits).catch((error) => {
        if (closed) return;
        failed(error);
        this.error(`the script of "${label}": ${atLine(error)}`);
      });
    }

    this.on('input', async (msg, send, done) => {
      const began = performance.now();
      /** @param {'ok' | 'error' | 'busy'} outcome */
      const observe = (outcome) => {
        const milliseconds = performance.now() - began;
        metrics.observePython(label, outcome, milliseconds / 1000);
        return Math.round(milliseconds * 10) / 10;
      };
      const slow = setTimeout(atWork, SLOW_MS);
      try {
        msg.payload = await pool.call({ ...call, payload: msg.payload }, limits);
        this.status({ fill: 'green', shape: 'dot', text: `${observe('ok')} ms${waiting()}` });
        send(msg);
        done();
      } catch (error) {
        observe(error.busy === true ? 'busy' : 'error');
        Object.assign(msg, { traceback: error.traceback, busy: error.busy === true });
        failed(error);
        done(atLine(error));
      } finally {
        clearTimeout(slow);
      }
    });
    this.on('close', (done) => {
      closed = true;
      releaseShared(pool, concurrency).finally(done);
    });
  }
  RED.nodes.registerType('python-function', PythonFunctionNode);
};
