'use strict';
// Where the two ends of the ingest meet: postgres nodes register here, so that mqtt-ingest can ask whether everything that
// was handed to them is safe, and whether they can take more.

const sinks = new Set();

/** @param sink {label, flush(): Promise<void>, congested, queued, spooled, spoolBytes, failure, committed, refused, lost}  flush resolves when all it had received is committed or on disk */
const addSink = (sink) => { sinks.add(sink); };
const removeSink = (sink) => { sinks.delete(sink); };

/** Resolves when everything received so far by every postgres node is committed or on its disk spool. */
const flushSinks = () => Promise.all(Array.from(sinks, (sink) => sink.flush()));

/** True while any postgres node asks its sources to wait. */
function sinksCongested() {
  for (const sink of sinks) if (sink.congested) return true;
  return false;
}

/** Rows waiting in memory and on disk, over all postgres nodes. */
function sinkDepth() {
  const depth = { queued: 0, spooled: 0, spoolBytes: 0, failing: null };
  for (const sink of sinks) {
    depth.queued += sink.queued;
    depth.spooled += sink.spooled;
    depth.spoolBytes += sink.spoolBytes;
    depth.failing ??= sink.failure;
  }
  return depth;
}

module.exports = { addSink, removeSink, allSinks: () => sinks, flushSinks, sinksCongested, sinkDepth };
