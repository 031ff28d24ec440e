'use strict';
// Warm Python workers: one call at a time each, restarted when they die, killed when a call takes too long.

/** @import { ChildProcess } from 'node:child_process' */
/** @import { Readable, Writable } from 'node:stream' */

const path = require('node:path');
const { spawn } = require('node:child_process');
const { FrameReader, pack } = require('./python-frames');

const REPOSITORY = path.join(__dirname, '..', '..');
const WORKER = path.join(__dirname, 'python_worker.py');
const RESTART_MIN_MS = 100;
// A call whose worker died is tried once more: together with the start it still ends within 5 s.
const RESTART_MAX_MS = 2000;

/**
 * @typedef {object} Call
 * @property {string} [target]  package.module:function
 * @property {string} [script]  the body of a function of `payload`
 * @property {unknown} [payload]  JSON, typed arrays, Buffers
 * @property {boolean} [check]  only find the function, or compile the script
 * @property {boolean} [typedArrays]  return numpy arrays as such, not as lists
 *
 * @typedef {object} Limits
 * @property {number} timeoutMs
 * @property {number} queueLimit  calls of the lane that may wait
 * @property {string} [lane]  calls that belong together
 * @property {number} [concurrency]  workers that the lane uses at most, so that one node's slow calls leave workers to
 *   the others
 *
 * @typedef {object} Entry  a call that waits or is under way
 * @property {number} id
 * @property {Buffer} frame
 * @property {number} timeoutMs
 * @property {string} lane
 * @property {number} concurrency
 * @property {(answer: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {number} attempts
 * @property {boolean} timedOut
 * @property {NodeJS.Timeout | undefined} timer
 *
 * @typedef {object} Worker
 * @property {ChildProcess} child
 * @property {Writable} calls
 * @property {FrameReader} reader
 * @property {Entry | null} entry  its call
 * @property {Set<string>} lanes  whose calls it had
 * @property {boolean} ending
 */

/**
 * An error of the pool, not of the called function: asking again later may help.
 * @param {string} message
 */
const busy = (message) => Object.assign(new Error(message), { busy: true });

/** The workers of all nodes. */
class PythonPool {
  /**
   * @param {object} options
   * @param {string} options.python  the interpreter
   * @param {number} [options.size]  workers at most; each starts with the first call that needs it
   * @param {(line: string) => void} [options.log]  what user code prints
   */
  constructor({ python, size = 1, log = () => {} }) {
    this.python = python;
    this.size = size;
    this.log = log;
    /** @type {Entry[]} */
    this.waiting = [];
    /** @type {Set<Worker>} */
    this.workers = new Set();
    this.restartMs = RESTART_MIN_MS;
    this.notBefore = 0;
    /** @type {NodeJS.Timeout | undefined} */
    this.restartTimer = undefined;
    this.lastId = 0;
    this.closing = false;
  }

  /**
   * Calls of a lane that wait for a worker.
   * @param {string} [lane]
   * @returns {number}
   */
  queued(lane = '') { return this.waiting.filter((entry) => entry.lane === lane).length; }

  /**
   * Calls of a lane that are under way.
   * @param {string} [lane]
   * @returns {number}
   */
  running(lane = '') {
    let count = 0;
    for (const { entry } of this.workers) if (entry?.lane === lane) count += 1;
    return count;
  }

  /**
   * Runs one call.
   * @param {Call} call
   * @param {Limits} limits
   * @returns {Promise<any>} what the function returned
   * @throws {Error} when the payload can't be sent; with the Python message, `.traceback` and the script's `.line`; or
   *   with `.busy`: time-out, queue full, worker died twice
   */
  async call(call, { timeoutMs, queueLimit, lane = '', concurrency = Infinity }) {
    if (this.queued(lane) >= queueLimit) {
      throw busy(`the Python queue is full (${queueLimit} calls wait): call less often or raise the limit`);
    }
    const id = this.lastId = (this.lastId + 1) >>> 0;
    let frame;
    try {
      frame = pack(id, call);
    } catch (error) {
      throw new Error(`the payload can't be given to Python: ${error.message}`, { cause: error });
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({
        id, frame, timeoutMs, lane, concurrency, resolve, reject, attempts: 0, timedOut: false, timer: undefined,
      });
      this.#dispatch();
    });
  }

  /**
   * Ends the workers; calls that wait are refused.
   * @returns {Promise<void>}
   */
  async close() {
    this.closing = true;
    for (const entry of this.waiting.splice(0)) entry.reject(busy('stopped before the call began'));
    const ends = Array.from(this.workers, ({ child }) => new Promise((resolve) => child.once('exit', resolve)));
    for (const worker of this.workers) worker.child.kill('SIGKILL');
    await Promise.all(ends);
  }

  /** Gives waiting calls to workers, as many as there are of both. */
  #dispatch() {
    while (!this.closing) {
      const next = this.waiting.findIndex(({ lane, concurrency }) => this.running(lane) < concurrency);
      if (next < 0) return;
      const worker = this.#freeWorker(this.waiting[next].lane) ?? this.#newWorker();
      if (!worker) return;
      const [entry] = this.waiting.splice(next, 1);
      this.#give(worker, entry);
    }
  }

  /**
   * A worker without a call, best one that had a call of this lane before: it has its imports, connections and models.
   * @param {string} lane
   */
  #freeWorker(lane) {
    /** @type {Worker | null} */
    let found = null;
    for (const worker of this.workers) {
      if (!worker.entry && !worker.ending && !found?.lanes.has(lane)) found = worker;
    }
    return found;
  }

  /** One more worker; null when there may be none, or not yet. */
  #newWorker() {
    if (this.workers.size >= this.size) return null;
    const wait = this.notBefore - Date.now();
    if (wait <= 0) return this.#start();
    this.restartTimer ??= setTimeout(() => {
      this.restartTimer = undefined;
      this.#dispatch();
    }, wait);
    return null;
  }

  /**
   * @param {Worker} worker
   * @param {Entry} entry
   */
  #give(worker, entry) {
    worker.entry = entry;
    worker.lanes.add(entry.lane);
    entry.attempts += 1;
    entry.timer = setTimeout(() => {
      entry.reject(busy(`the Python call took longer than ${entry.timeoutMs / 1000} s and was ended`));
      entry.timedOut = true;
      worker.ending = true;
      worker.child.kill('SIGKILL');
    }, entry.timeoutMs);
    worker.calls.write(entry.frame);
  }

  #start() {
    const child = spawn(this.python, ['-u', WORKER], {
      // The repository's own packages (gcode, analysis) are importable next to the installed ones.
      env: { ...process.env, PYTHONPATH: [REPOSITORY, process.env.PYTHONPATH].filter(Boolean).join(':') },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    });
    // By the list above: two that Python prints to, one for the calls and one for the answers.
    const [stdout, stderr] = /** @type {Readable[]} */ ([child.stdout, child.stderr]);
    const calls = /** @type {Writable} */ (child.stdio[3]);
    const answers = /** @type {Readable} */ (child.stdio[4]);
    /** @type {Worker} */
    const worker = { child, calls, reader: new FrameReader(), entry: null, lanes: new Set(), ending: false };
    this.workers.add(worker);
    for (const stream of [stdout, stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        for (const line of text.split('\n')) if (line) this.log(line);
      });
    }
    calls.on('error', () => {});
    answers.on('error', () => {});
    answers.on('data', (piece) => this.#read(worker, piece));
    child.once('error', (error) => this.#ended(worker, `${this.python}: ${error.message}`));
    child.once('exit', (code, signal) => {
      this.#ended(worker, `the Python worker ended (${signal || `exit code ${code}`})`);
    });
    return worker;
  }

  /**
   * @param {Worker} worker
   * @param {Buffer} piece
   */
  #read(worker, piece) {
    try {
      for (const { id, value } of worker.reader.push(piece)) this.#answered(worker, id, value);
    } catch {
      // User code wrote to the worker's own pipe: nothing that follows can be understood.
      worker.child.kill('SIGKILL');
    }
  }

  /**
   * @param {Worker} worker
   * @param {number} id
   * @param {{result?: any, error?: string, traceback?: string, line?: number | null}} answer
   */
  #answered(worker, id, answer) {
    const { entry } = worker;
    if (entry?.id !== id) return;
    worker.entry = null;
    clearTimeout(entry.timer);
    this.restartMs = RESTART_MIN_MS;
    const { result, error, traceback, line = null } = answer;
    if (error) entry.reject(Object.assign(new Error(error), { traceback, line }));
    else entry.resolve(result);
    this.#dispatch();
  }

  /**
   * @param {Worker} worker
   * @param {string} reason
   */
  #ended(worker, reason) {
    if (!this.workers.delete(worker)) return;
    const { entry } = worker;
    if (entry) {
      clearTimeout(entry.timer);
      // The call may have killed its worker: it gets one more try, and never a third.
      if (!entry.timedOut && entry.attempts < 2 && !this.closing) this.waiting.unshift(entry);
      else entry.reject(busy(reason));
    }
    if (!entry?.timedOut) {
      this.notBefore = Date.now() + this.restartMs;
      this.restartMs = Math.min(RESTART_MAX_MS, this.restartMs * 2);
    }
    this.#dispatch();
  }
}

// In this form the class is also known as a type.
module.exports.PythonPool = PythonPool;
