'use strict';
// G-code on disk: incoming/ (half fetched), files/ (by content), public/ (pictures and previews that Nginx serves). No
// name comes from outside: files are called by the hash of their content, half fetched ones by the hash of their
// print's id.

/** @import { StoredFile } from '../types' */

const fs = require('node:fs');
const fsp = require('node:fs/promises');
const path = require('node:path');
const crypto = require('node:crypto');
const { pipeline } = require('node:stream/promises');

const PUBLIC_URL = '/files/gcode/';
const DAY_MS = 24 * 3600_000;

/**
 * @typedef {'incoming' | 'files' | 'public'} Kind
 * @typedef {{days: number, megabytes: number, publicMegabytes: number}} CleanLimits
 */

/** The files of one installation. */
class GcodeStore {
  /** @param {string} folder  made when first needed */
  constructor(folder) {
    this.folder = folder;
  }

  /**
   * @param {Kind} kind
   * @param {string} name
   */
  #in(kind, name) {
    const folder = path.join(this.folder, kind);
    // Only public/ is for another user (Nginx) to read.
    fs.mkdirSync(folder, { recursive: true, mode: kind === 'public' ? 0o755 : 0o700 });
    return path.join(folder, name);
  }

  /**
   * Where a print's file is fetched to.
   * @param {string} jobId
   * @returns {string} path
   */
  incoming(jobId) {
    return this.#in('incoming', `${crypto.createHash('sha256').update(String(jobId)).digest('hex')}.part`);
  }

  /**
   * Moves a complete file to its place.
   * @param {string} incoming  path
   * @returns {Promise<StoredFile>}
   */
  async keep(incoming) {
    const sum = crypto.createHash('sha256');
    await pipeline(fs.createReadStream(incoming, { highWaterMark: 1 << 18 }), sum);
    const hash = sum.digest('hex');
    const target = this.#in('files', hash);
    await fsp.rename(incoming, target);
    return {
      hash, path: target, thumbnail_path: this.#in('public', `${hash}.png`),
      preview_path: this.#in('public', `${hash}.bin`),
    };
  }

  /**
   * URL of a file in public/.
   * @param {string} file  path
   * @returns {string | null} null when it is not there
   */
  url(file) {
    return fs.existsSync(file) ? PUBLIC_URL + path.basename(file) : null;
  }

  /**
   * Removes files that are too old, then the oldest beyond the size; half fetched ones after a day; the oldest pictures
   * and previews beyond theirs.
   * @param {CleanLimits} limits
   * @param {number} [now]  milliseconds since 1970
   * @returns {Promise<{removed: number, urls: string[]}>} urls: of what was public
   */
  async clean({ days, megabytes, publicMegabytes }, now = Date.now()) {
    const incoming = await this.#clean('incoming', now - DAY_MS, Infinity);
    const files = await this.#clean('files', now - days * DAY_MS, megabytes * 2 ** 20);
    const shown = await this.#clean('public', -Infinity, publicMegabytes * 2 ** 20);
    return { removed: incoming.length + files.length + shown.length, urls: shown.map((name) => PUBLIC_URL + name) };
  }

  /**
   * @param {Kind} kind
   * @param {number} before  older ones go, milliseconds since 1970
   * @param {number} maxBytes
   * @returns {Promise<string[]>} names of those that went
   */
  async #clean(kind, before, maxBytes) {
    const folder = this.#in(kind, '.');
    const found = await Promise.all((await fsp.readdir(folder)).map(async (name) => {
      const { size, mtimeMs } = await fsp.stat(path.join(folder, name));
      return { name, size, mtimeMs };
    }));
    found.sort((a, b) => b.mtimeMs - a.mtimeMs);
    const removed = [];
    let total = 0;
    for (const { name, size, mtimeMs } of found) {
      total += size;
      if (mtimeMs >= before && total <= maxBytes) continue;
      await fsp.rm(path.join(folder, name), { force: true });
      removed.push(name);
    }
    return removed;
  }
}

// In this form the class is also known as a type.
module.exports.GcodeStore = GcodeStore;
