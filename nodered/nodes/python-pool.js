'use strict';
// Warm Python workers: one call at a time each, restarted when they die, killed when a call takes too long.

const path = require('node:path');
const { spawn } = require('node:child_process');

const LENGTH_BYTES = 4;
const REPOSITORY = path.join(__dirname, '..', '..');
const WORKER = path.join(__dirname, 'python_worker.py');
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 5000;

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
  }

  get queued() { return this.waiting.length; }

  /**
   * Run one call. @param {{target?: string, script?: string, payload: any}} call
   * @returns {Promise<any>} the function's answer
   * @throws an error with the Python message (and `.traceback`), or: time-out, queue full, worker died twice
   */
  call(call, { timeoutMs, queueLimit }) {
    if (this.waiting.length >= queueLimit) {
      return Promise.reject(new Error(`the Python queue is full (${queueLimit} calls wait): call less often or raise the limit`));
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({ call, timeoutMs, resolve, reject, attempts: 0 });
      this.#dispatch();
    });
  }

  async close() {
    this.closing = true;
    for (const entry of this.waiting.splice(0)) entry.reject(new Error('stopped before the call began'));
    const ends = Array.from(this.workers, (worker) => new Promise((resolve) => worker.child.once('exit', resolve)));
    for (const worker of this.workers) worker.child.kill('SIGKILL');
    await Promise.all(ends);
  }

  #dispatch() {
    if (this.closing || this.waiting.length === 0) return;
    let worker = null;
    for (const candidate of this.workers) if (!candidate.entry && !candidate.ending) worker = candidate;
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
    if (worker) this.#give(worker, this.waiting.shift());
  }

  #give(worker, entry) {
    worker.entry = entry;
    entry.attempts += 1;
    entry.id = ++worker.calls;
    entry.timer = setTimeout(() => {
      entry.reject(new Error(`the Python call took longer than ${entry.timeoutMs / 1000} s and was ended`));
      entry.timedOut = true;
      worker.ending = true;
      worker.child.kill('SIGKILL');
    }, entry.timeoutMs);
    const text = JSON.stringify({ id: entry.id, ...entry.call });
    const frame = Buffer.allocUnsafe(LENGTH_BYTES + Buffer.byteLength(text));
    frame.writeUInt32BE(frame.length - LENGTH_BYTES);
    frame.write(text, LENGTH_BYTES);
    worker.child.stdio[3].write(frame);
  }

  #start() {
    const child = spawn(this.python, ['-u', WORKER], {
      // The repository's own packages (gcode, analysis) are importable beside the installed ones.
      env: { ...this.environment, PYTHONPATH: [REPOSITORY, this.environment.PYTHONPATH].filter(Boolean).join(':') },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    });
    const worker = { child, entry: null, calls: 0, chunks: [], bytes: 0 };
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

  #read(worker, chunk) {
    worker.chunks.push(chunk);
    worker.bytes += chunk.length;
    worker.wanted ??= null;
    for (;;) {
      if (worker.bytes < (worker.wanted ?? LENGTH_BYTES)) return;
      const data = worker.chunks.length === 1 ? worker.chunks[0] : Buffer.concat(worker.chunks);
      worker.chunks = [data];
      worker.wanted = LENGTH_BYTES + data.readUInt32BE(0);
      if (data.length < worker.wanted) return;
      const answer = JSON.parse(data.toString('utf8', LENGTH_BYTES, worker.wanted));
      const rest = data.subarray(worker.wanted);
      worker.chunks = rest.length > 0 ? [rest] : [];
      worker.bytes = rest.length;
      worker.wanted = null;
      this.#answered(worker, answer);
    }
  }

  #answered(worker, answer) {
    const { entry } = worker;
    if (!entry || entry.id !== answer.id) return;
    worker.entry = null;
    clearTimeout(entry.timer);
    this.restartMs = RESTART_MIN_MS;
    if (answer.error) entry.reject(Object.assign(new Error(answer.error), { traceback: answer.traceback }));
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
      else entry.reject(new Error(reason));
    }
    if (!entry?.timedOut) {
      this.notBefore = Date.now() + this.restartMs;
      this.restartMs = Math.min(RESTART_MAX_MS, this.restartMs * 2);
    }
    this.#dispatch();
  }
}

module.exports = { PythonPool };
