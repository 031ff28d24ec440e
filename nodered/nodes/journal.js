'use strict';
// An append-only record file on disk: what is appended survives the death of the process, in order, until it is
// checkpointed.
//
// A journal is a folder of segments named after the sequence number of their first record, and a `checkpoint` file with
// the number of the last record that is no longer needed. A record is [length u32][crc32 u32][body]. A record that was
// cut short by a kill or a crash is recognised by its length or checksum and ends the segment.

const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');

const HEADER_BYTES = 8;
const SEGMENT_SUFFIX = '.seg';
const READ_CHUNK_BYTES = 1 << 20;

/**
 * @typedef {{name: string, first: number, bytes: number}} Segment  first: sequence number of its first record
 * @typedef {{seq: number, body: Buffer}} Entry  body: a copy that the caller may keep
 */

/** The records of one writer. */
class Journal {
  /**
   * @param {string} folder  created when missing
   * @param {{segmentBytes?: number, keepRecords?: number}} [options]  segmentBytes: a segment is closed when it has
   *   grown past this size; keepRecords: how many of the newest records stay readable even when they are checkpointed
   */
  constructor(folder, { segmentBytes = 8 << 20, keepRecords = 0 } = {}) {
    this.folder = folder;
    this.segmentBytes = segmentBytes;
    this.keepRecords = keepRecords;
    /** @type {Segment[]} */
    this.segments = [];
    /** @type {(Segment & {fd: number}) | null}  the newest segment, while it grows */
    this.growing = null;
    this.unsynced = false;
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.checkpointed = this.#loadCheckpoint();
    this.nextSeq = this.checkpointed + 1;
    this.#loadSegments();
  }

  /** Sequence number of the newest record; 0 when there has never been one. */
  get lastSeq() { return this.nextSeq - 1; }

  /** Number of records behind the checkpoint. */
  get pending() { return this.lastSeq - this.checkpointed; }

  /** Bytes on disk. */
  get bytes() { return this.segments.reduce((sum, segment) => sum + segment.bytes, 0); }

  /**
   * Appends one record. It is with the operating system when this returns.
   * The first HEADER_BYTES of `record` belong to the journal, so that a hot path can fill one buffer again and again.
   * @param {Buffer} record  HEADER_BYTES of room, then the body
   * @param {number} [length]  bytes used, HEADER_BYTES included
   * @returns {number} its sequence number
   * @throws {Error} the file system's error (ENOSPC, EIO …); nothing was appended then
   */
  append(record, length = record.length) {
    const body = record.subarray(HEADER_BYTES, length);
    record.writeUInt32LE(body.length, 0);
    record.writeUInt32LE(zlib.crc32(body), 4);
    const segment = this.#writableSegment();
    let written = 0;
    try {
      while (written < length) written += fs.writeSync(segment.fd, record, written, length - written);
    } catch (error) {
      fs.ftruncateSync(segment.fd, segment.bytes);
      throw error;
    }
    segment.bytes += length;
    this.unsynced = true;
    return this.nextSeq++;
  }

  /**
   * Asks the disk to keep what was appended (against a power cut; a killed process needs no sync).
   * @returns {Promise<void>}
   * @throws {Error} the file system's error
   */
  async sync() {
    if (!this.unsynced || this.growing === null) return;
    this.unsynced = false;
    const { fd } = this.growing;
    await new Promise((resolve, reject) => fs.fdatasync(fd, (error) => (error ? reject(error) : resolve(null))));
  }

  /**
   * All records after a sequence number, oldest first. Records appended while iterating are seen; records that are no
   * longer there are passed over.
   * @param {number} after
   * @returns {Generator<Entry, void, void>}
   * @throws {Error} when a record behind the checkpoint is unreadable
   */
  *readAfter(after) {
    let seq = Math.max(after, (this.segments[0]?.first ?? 1) - 1);
    while (seq < this.lastSeq) {
      const segment = this.segments.findLast((candidate) => candidate.first <= seq + 1);
      if (segment === undefined) return;
      for (const record of readSegment(path.join(this.folder, segment.name), segment.first)) {
        if (record.seq <= seq) continue;
        if (record.seq > this.lastSeq) return;
        seq = record.seq;
        yield record;
      }
      if (seq >= this.lastSeq) return;
      const following = this.segments[this.segments.indexOf(segment) + 1];
      if (following !== undefined) seq = Math.max(seq, following.first - 1);
      else if (this.pending > 0) throw new Error(`journal ${this.folder}: record ${seq + 1} is unreadable`);
      // A power cut may have damaged what was only kept: nobody needs it.
      else return;
    }
  }

  /**
   * Records up to and including `seq` are no longer needed: remembers it and deletes the segments that contain nothing
   * else.
   * @param {number} seq
   * @throws {Error} the file system's error
   */
  checkpoint(seq) {
    if (seq <= this.checkpointed) return;
    const file = path.join(this.folder, 'checkpoint');
    fs.writeFileSync(`${file}.new`, String(seq), { mode: 0o600 });
    fs.renameSync(`${file}.new`, file);
    this.checkpointed = seq;
    this.#release();
    const isDrained = this.keepRecords === 0 && this.segments.length === 1 && seq >= this.lastSeq;
    if (isDrained && this.bytes > this.segmentBytes / 8) {
      this.close();
      this.#deleteOldest();
    }
  }

  /** The next append() begins a new segment. */
  close() {
    if (this.growing === null) return;
    fs.closeSync(this.growing.fd);
    this.growing = null;
  }

  #loadCheckpoint() {
    let text;
    try {
      text = fs.readFileSync(path.join(this.folder, 'checkpoint'), 'utf8');
    } catch (error) {
      if (error.code === 'ENOENT') return 0;
      throw error;
    }
    const seq = Number.parseInt(text, 10);
    // An empty file after a power cut: replaying more than needed is harmless, skipping is not.
    return Number.isSafeInteger(seq) && seq >= 0 ? seq : 0;
  }

  #loadSegments() {
    const names = fs.readdirSync(this.folder).filter((name) => name.endsWith(SEGMENT_SUFFIX)).sort();
    for (const name of names) {
      const first = Number.parseInt(name, 10);
      const file = path.join(this.folder, name);
      let last = first - 1;
      let bytes = 0;
      for (const record of readSegment(file, first)) {
        last = record.seq;
        bytes += HEADER_BYTES + record.body.length;
      }
      if (bytes === 0) {
        fs.unlinkSync(file);
        continue;
      }
      fs.truncateSync(file, bytes);
      this.segments.push({ name, first, bytes });
      this.nextSeq = Math.max(this.nextSeq, last + 1);
    }
    this.#release();
    if (this.segments.length === 1 && this.pending === 0 && this.keepRecords === 0) this.#deleteOldest();
  }

  /** Deletes the segments that contain nothing but what is checkpointed and not kept. */
  #release() {
    const needed = Math.min(this.checkpointed, this.lastSeq - this.keepRecords) + 1;
    while (this.segments.length > 1 && this.segments[1].first <= needed) this.#deleteOldest();
  }

  #writableSegment() {
    if (this.growing !== null && this.growing.bytes < this.segmentBytes) return this.growing;
    this.close();
    const name = String(this.nextSeq).padStart(16, '0') + SEGMENT_SUFFIX;
    const fd = fs.openSync(path.join(this.folder, name), 'a', 0o600);
    const segment = { name, first: this.nextSeq, bytes: 0, fd };
    this.segments.push(segment);
    this.growing = segment;
    return segment;
  }

  #deleteOldest() {
    const [oldest] = this.segments.splice(0, 1);
    fs.unlinkSync(path.join(this.folder, oldest.name));
  }
}

/**
 * The sound records of a segment, up to the first that is cut short or damaged.
 * @param {string} file
 * @param {number} firstSeq
 * @returns {Generator<Entry, void, void>}
 */
function* readSegment(file, firstSeq) {
  const fd = fs.openSync(file, 'r');
  try {
    let chunk = Buffer.allocUnsafe(READ_CHUNK_BYTES);
    let start = 0;
    let end = 0;
    let seq = firstSeq;
    for (;;) {
      let wanted = HEADER_BYTES;
      if (end - start >= HEADER_BYTES) {
        wanted += chunk.readUInt32LE(start);
        if (end - start >= wanted) {
          const body = chunk.subarray(start + HEADER_BYTES, start + wanted);
          if (zlib.crc32(body) !== chunk.readUInt32LE(start + 4)) return;
          yield { seq: seq++, body: Buffer.from(body) };
          start += wanted;
          continue;
        }
        if (wanted > fs.fstatSync(fd).size) return;
      }
      const rest = chunk.subarray(start, end);
      const next = wanted > chunk.length ? Buffer.allocUnsafe(wanted) : chunk;
      rest.copy(next, 0);
      chunk = next;
      end = rest.length;
      start = 0;
      const count = fs.readSync(fd, chunk, end, chunk.length - end, null);
      if (count === 0) return;
      end += count;
    }
  } finally {
    fs.closeSync(fd);
  }
}

// In this form the class is also known as a type.
module.exports.Journal = Journal;
module.exports.HEADER_BYTES = HEADER_BYTES;
