'use strict';
// Where the two ends of the ingest meet: postgres nodes register here, so that mqtt-ingest can ask whether everything
// that was handed to them is safe, and whether they can take more.

/** @import { Sink } from './types' */

/** @type {Set<Sink>} */
const sinks = new Set();

/** @param {Sink} sink */
const addSink = (sink) => { sinks.add(sink); };
/** @param {Sink} sink */
const removeSink = (sink) => { sinks.delete(sink); };
/** @returns {Iterable<Sink>} */
const allSinks = () => sinks;

/**
 * Waits for the postgres nodes.
 * @returns {Promise<unknown>} resolves when everything that they have received so far is committed or on their disk
 *   spool
 */
const flushSinks = () => Promise.all(Array.from(sinks, (sink) => sink.flush()));

/**
 * Whether any postgres node asks its sources to wait.
 * @returns {boolean}
 */
function sinksCongested() {
  for (const sink of sinks) if (sink.congested) return true;
  return false;
}

/**
 * Rows waiting in memory and on disk, over all postgres nodes.
 * @returns {{queued: number, spooled: number, spoolBytes: number, failing: string | null}} failing: why the first of
 *   them has to wait
 */
function sinkDepth() {
  /** @type {ReturnType<typeof sinkDepth>} */
  const depth = { queued: 0, spooled: 0, spoolBytes: 0, failing: null };
  for (const sink of sinks) {
    depth.queued += sink.queued;
    depth.spooled += sink.spooled;
    depth.spoolBytes += sink.spoolBytes;
    depth.failing ??= sink.failure;
  }
  return depth;
}

module.exports = { addSink, removeSink, allSinks, flushSinks, sinksCongested, sinkDepth };
