'use strict';
// Warm Python workers: one call at a time each, restarted when they die, killed when a call takes too long.

const path = require('node:path');
const { spawn } = require('node:child_process');
const { FrameReader, pack } = require('./python-frames');

const REPOSITORY = path.join(__dirname, '..', '..');
const WORKER = path.join(__dirname, 'python_worker.py');
const RESTART_MIN_MS = 100;
// A call whose worker died is tried once more: together with the start it still ends within 5 s.
const RESTART_MAX_MS = 2000;

/** An error of the pool, not of the called function: asking again later may help. */
const busy = (message) => Object.assign(new Error(message), { busy: true });

class PythonPool {
  /**
   * @param {object} options
   * @param {string} options.python  the interpreter
   * @param {number} [options.size]  workers at most; each starts with the first call that needs it
   * @param {object} [options.environment]
   * @param {(line: string) => void} [options.log]  what user code prints
   */
  constructor({ python, size = 1, environment = process.env, log = () => {} }) {
    Object.assign(this, { python, size, environment, log });
    this.waiting = [];
    this.workers = new Set();
    this.restartMs = RESTART_MIN_MS;
    this.notBefore = 0;
    this.lastId = 0;
  }

  /** Calls of a lane that wait for a worker. */
  queued(lane = '') { return this.waiting.filter((entry) => entry.lane === lane).length; }

  /** Calls of a lane that are under way. */
  running(lane = '') {
    let count = 0;
    for (const { entry } of this.workers) if (entry?.lane === lane) count += 1;
    return count;
  }

  /**
   * Run one call.
   * @param {{target?: string, script?: string, payload?: any, check?: boolean, typedArrays?: boolean}} call  payload: JSON, typed arrays, Buffers;
   *   check: only find the function, or compile the script; typedArrays: answer numpy arrays as such, not as lists
   * @param {{timeoutMs: number, queueLimit: number, lane?: string, concurrency?: number}} limits  a lane's calls use `concurrency`
   *   workers at most, so that one node's slow calls leave workers to the others
   * @returns {Promise<any>} the function's answer
   * @throws an error when the payload can't be sent; one with the Python message, `.traceback` and the script's `.line`; or with `.busy`: time-out, queue full, worker died twice
   */
  call(call, { timeoutMs, queueLimit, lane = '', concurrency = Infinity }) {
    if (this.queued(lane) >= queueLimit) {
      return Promise.reject(busy(`the Python queue is full (${queueLimit} calls wait): call less often or raise the limit`));
    }
    const id = this.lastId = (this.lastId + 1) >>> 0;
    let frame;
    try {
      frame = pack(id, call);
    } catch (error) {
      return Promise.reject(new Error(`the payload can't be given to Python: ${error.message}`));
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({ id, frame, timeoutMs, lane, concurrency, resolve, reject, attempts: 0 });
      this.#dispatch();
    });
  }

  async close() {
    this.closing = true;
    for (const entry of this.waiting.splice(0)) entry.reject(busy('stopped before the call began'));
    const ends = Array.from(this.workers, (worker) => new Promise((resolve) => worker.child.once('exit', resolve)));
    for (const worker of this.workers) worker.child.kill('SIGKILL');
    await Promise.all(ends);
  }

  #dispatch() {
    if (this.closing) return;
    const next = this.waiting.findIndex(({ lane, concurrency }) => this.running(lane) < concurrency);
    if (next < 0) return;
    let worker = null;
    for (const candidate of this.workers) {
      // One that had a call of this lane before has its imports, connections and models.
      if (!candidate.entry && !candidate.ending && !worker?.lanes.has(this.waiting[next].lane)) worker = candidate;
    }
    if (!worker && this.workers.size < this.size) {
      const wait = this.notBefore - Date.now();
      if (wait > 0) {
        this.restartTimer ??= setTimeout(() => {
          this.restartTimer = null;
          this.#dispatch();
        }, wait);
        return;
      }
      worker = this.#start();
    }
    if (!worker) return;
    this.#give(worker, ...this.waiting.splice(next, 1));
    this.#dispatch();
  }

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
    worker.child.stdio[3].write(entry.frame);
  }

  #start() {
    const child = spawn(this.python, ['-u', WORKER], {
      // The repository's own packages (gcode, analysis) are importable beside the installed ones.
      env: { ...this.environment, PYTHONPATH: [REPOSITORY, this.environment.PYTHONPATH].filter(Boolean).join(':') },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    });
    const worker = { child, entry: null, lanes: new Set(), reader: new FrameReader() };
    this.workers.add(worker);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { for (const line of text.split('\n')) if (line) this.log(line); });
    }
    child.stdio[3].on('error', () => {});
    child.stdio[4].on('error', () => {});
    child.stdio[4].on('data', (chunk) => this.#read(worker, chunk));
    child.once('error', (error) => this.#ended(worker, `${this.python}: ${error.message}`));
    child.once('exit', (code, signal) => this.#ended(worker, `the Python worker ended (${signal || `exit code ${code}`})`));
    return worker;
  }

  #read(worker, piece) {
    try {
      for (const { id, value } of worker.reader.push(piece)) this.#answered(worker, id, value);
    } catch {
      // User code wrote to the worker's own pipe: nothing that follows can be understood.
      worker.child.kill('SIGKILL');
    }
  }

  #answered(worker, id, answer) {
    const { entry } = worker;
    if (entry?.id !== id) return;
    worker.entry = null;
    clearTimeout(entry.timer);
    this.restartMs = RESTART_MIN_MS;
    if (answer.error) entry.reject(Object.assign(new Error(answer.error), { traceback: answer.traceback, line: answer.line ?? null }));
    else entry.resolve(answer.result);
    this.#dispatch();
  }

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

module.exports = { PythonPool };
