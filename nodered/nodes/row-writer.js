'use strict';
// Brings rows into the database in order, in batches, whatever happens to the database meanwhile.
//
// Rows wait in memory; one statement after the other takes a batch of them. When the database is away (or refuses for a
// reason that is not the data's) everything goes to a disk spool, new rows queue behind it, and it drains in order when
// the database is back. A batch that fails because of its data is halved until the bad row is alone: that one is
// rejected.

/** @import { Row } from './types' */

const { Journal, HEADER_BYTES } = require('./journal');

const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 5000;
const SPOOL_RECORD_ROWS = 500;
const SQLSTATE_TIMEOUT = '57014';

/** @typedef {Error & {code?: string}} DatabaseError  code: SQLSTATE, or that of a network error */

/**
 * Whether an error is about the values in the rows, so that another attempt can't help.
 * @param {DatabaseError} error
 */
function isDataError(error) {
  const state = error.code;
  return typeof state === 'string' && state.length === 5
    && (/^(21|22|23|44)/.test(state) || state === 'P0001' || state === '42804');
}

/** The rows of one node on their way to the database. */
class RowWriter {
  /**
   * @param {object} options
   * @param {(rows: Row[]) => Promise<any>} options.write  commits the rows in one transaction; must bear repetition
   * @param {(row: Row, error: Error) => Promise<unknown>} options.reject  records a row that the database refuses
   * @param {(result: any, rows: Row[]) => void} options.written
   * @param {(failure: string | null) => void} options.changed  called when writing begins to fail or works again
   * @param {string} options.spoolFolder
   * @param {number} options.batchRows  rows per statement
   * @param {number} options.batchMs  how long a row may wait for companions, milliseconds
   * @param {number} options.memoryRows  rows kept in memory before the rest goes to disk
   * @param {number} options.spoolBytes  limit of the spool on disk
   * @throws {Error} when the spool can't be read
   */
  constructor({ write, reject, written, changed, spoolFolder, batchRows, batchMs, memoryRows, spoolBytes }) {
    this.write = write;
    this.reject = reject;
    this.written = written;
    this.changed = changed;
    this.batchRows = batchRows;
    this.batchMs = batchMs;
    this.memoryRows = memoryRows;
    this.spoolBytes = spoolBytes;
    /** @type {Row[]} */
    this.queue = [];
    this.queueHead = 0;
    this.received = 0;
    this.safe = 0;
    /** @type {{target: number, resolve: () => void}[]} */
    this.waiters = [];
    this.committedRows = 0;
    this.rejectedRows = 0;
    this.lostRows = 0;
    /** @type {string | null} */
    this.failure = null;
    this.retryMs = RETRY_MIN_MS;
    this.size = batchRows;
    this.spool = new Journal(spoolFolder);
    this.spooledRows = 0;
    for (const { body } of this.spool.readAfter(this.spool.checkpointed)) this.spooledRows += rowsOf(body).length;
    this.spooling = this.spool.pending > 0;
    this.closing = false;
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined;
    /** @type {NodeJS.Timeout | undefined} */
    this.retryTimer = undefined;
    /** @type {Promise<void> | null} */
    this.running = null;
    this.retryNow = () => {};
    this.#schedule();
  }

  get queued() { return this.queue.length - this.queueHead; }
  get spooled() { return this.spooledRows; }
  get spoolUsedBytes() { return this.spool.bytes; }
  get spoolFull() { return this.spool.bytes >= this.spoolBytes; }
  get congested() { return this.queued > this.memoryRows / 2; }

  /**
   * Takes rows. They are kept in order; nothing is thrown. Beyond twice `memoryRows` (disk full or spool full) they are
   * counted as lost.
   * @param {Row[]} rows
   */
  add(rows) {
    if (this.queued + rows.length > 2 * this.memoryRows) {
      this.lostRows += rows.length;
      return;
    }
    for (const row of rows) this.queue.push(row);
    this.received += rows.length;
    if (this.spooling) this.#spoolQueue();
    if (!this.running) this.#schedule();
  }

  /**
   * Waits for the rows received so far.
   * @returns {Promise<void>} resolves when all of them are committed, rejected or on disk
   */
  flush() {
    if (this.safe >= this.received) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push({ target: this.received, resolve }));
  }

  /**
   * Stops. What is still in memory goes to the spool.
   * @returns {Promise<void>}
   */
  async close() {
    this.closing = true;
    clearTimeout(this.timer);
    clearTimeout(this.retryTimer);
    this.retryNow();
    await this.running;
    if (this.queued > 0) {
      try {
        this.#spoolQueue(true);
      } catch (error) {
        this.lostRows += this.queued;
        this.changed(`${this.queued} rows could not be kept: ${error.message}`);
      }
    }
    await this.spool.sync().catch(() => {});
    this.spool.close();
  }

  #schedule() {
    if (this.closing) return;
    if (this.spooling || this.queued >= this.size) this.#wake();
    else if (this.queued > 0) this.timer ??= setTimeout(() => this.#wake(), this.batchMs);
  }

  #wake() {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.running || this.closing) return;
    this.running = this.#run().finally(() => {
      this.running = null;
      this.#schedule();
    });
  }

  async #run() {
    if (this.spooling) await this.#drainSpool();
    while (!this.closing && this.queued > 0) {
      const rows = this.queue.slice(this.queueHead, this.queueHead + this.size);
      const done = await this.#attempt(rows);
      // The head moves only now: a failure leaves the rows where they are, in order.
      this.#dropFromQueue(done);
      this.#markSafe(done);
      if (done < rows.length || this.queued > this.memoryRows) {
        this.spooling = true;
        this.#spoolQueue();
        if (done < rows.length) await this.#pause();
        return;
      }
      if (this.queued < this.size) return;
    }
  }

  /**
   * Writes rows.
   * @param {Row[]} rows
   * @returns {Promise<number>} how many of them, from the first, are dealt with (fewer than all: the database can't
   *   take them now)
   */
  async #attempt(rows) {
    try {
      const result = await this.write(rows);
      this.committedRows += rows.length;
      this.#recovered();
      this.written(result, rows);
      return rows.length;
    } catch (error) {
      if (isDataError(error)) {
        if (rows.length === 1) return this.#rejectRow(rows[0], error);
        const half = rows.length >> 1;
        const first = await this.#attempt(rows.slice(0, half));
        return first < half ? first : half + await this.#attempt(rows.slice(half));
      }
      if (error.code === SQLSTATE_TIMEOUT && this.size > 1) this.size = Math.max(1, this.size >> 1);
      this.#failed(error);
      return 0;
    }
  }

  /**
   * @param {Row} row
   * @param {Error} error
   * @returns {Promise<0 | 1>} as #attempt() of one row
   */
  async #rejectRow(row, error) {
    try {
      await this.reject(row, error);
      this.rejectedRows += 1;
      return 1;
    } catch (rejectError) {
      this.#failed(rejectError);
      if (!isDataError(rejectError)) return 0;
      this.lostRows += 1;
      return 1;
    }
  }

  async #drainSpool() {
    /** @type {Row[]} */
    let rows = [];
    for (const { seq, body } of this.spool.readAfter(this.spool.checkpointed)) {
      rows.push(...rowsOf(body));
      // They came in small pieces, but whole batches catch up many times faster.
      if (rows.length < this.size && seq < this.spool.lastSeq) continue;
      let start = 0;
      while (start < rows.length) {
        if (this.closing) return;
        const part = rows.slice(start, start + this.size);
        const done = await this.#attempt(part);
        start += done;
        if (done < part.length) await this.#pause();
      }
      this.spooledRows -= rows.length;
      this.spool.checkpoint(seq);
      rows = [];
      if (this.queued > 0) this.#spoolQueue();
    }
    this.spooling = false;
  }

  /**
   * Moves what is in memory to the spool, as far as its limit allows.
   * @param {boolean} [evenWhenFull]  without the limit; then the file system's error is thrown
   */
  #spoolQueue(evenWhenFull = false) {
    while (this.queued > 0) {
      if (this.spoolFull && !evenWhenFull) return;
      const rows = this.queue.slice(this.queueHead, this.queueHead + SPOOL_RECORD_ROWS);
      const text = JSON.stringify(rows);
      const record = Buffer.allocUnsafe(HEADER_BYTES + Buffer.byteLength(text));
      record.write(text, HEADER_BYTES);
      try {
        this.spool.append(record);
      } catch (error) {
        if (evenWhenFull) throw error;
        this.#failed(error);
        return;
      }
      this.spooledRows += rows.length;
      this.#dropFromQueue(rows.length);
      this.#markSafe(rows.length);
    }
  }

  /** @param {number} count */
  #dropFromQueue(count) {
    this.queueHead += count;
    if (this.queueHead < this.queue.length && this.queueHead < 4096) return;
    this.queue.splice(0, this.queueHead);
    this.queueHead = 0;
  }

  /** @param {number} count */
  #markSafe(count) {
    this.safe += count;
    while (this.waiters.length > 0 && this.waiters[0].target <= this.safe) {
      const [waiter] = this.waiters.splice(0, 1);
      waiter.resolve();
    }
  }

  /** @param {DatabaseError} error */
  #failed(error) {
    const reason = error.message || error.code || String(error);
    if (this.failure !== reason) this.changed(reason);
    this.failure = reason;
  }

  #recovered() {
    this.retryMs = RETRY_MIN_MS;
    if (this.size < this.batchRows) this.size = Math.min(this.batchRows, this.size * 2);
    if (this.failure === null) return;
    this.failure = null;
    this.changed(null);
  }

  async #pause() {
    if (this.closing) return;
    await new Promise((resolve) => {
      this.retryNow = () => resolve(null);
      this.retryTimer = setTimeout(this.retryNow, this.retryMs);
    });
    this.retryMs = Math.min(RETRY_MAX_MS, this.retryMs * 2);
  }
}

/**
 * The rows in a record of the spool.
 * @param {Buffer} body
 * @returns {Row[]}
 */
const rowsOf = (body) => JSON.parse(body.toString());

// In this form the class is also known as a type.
module.exports.RowWriter = RowWriter;
