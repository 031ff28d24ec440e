'use strict';
// A batch of MQTT messages → the rows for ingest_readings, record_smartplug, record_environment/record_sensor and
// record_rejects.

/** @import { Message, ParsedBatch, PlugDetail, Route, Sample, Tab } from './types' */

const { route, TABS } = require('./routes');
const { BoundedMap } = require('./bounded-map');

const MAX_DEVICES = 5000;
const MAX_TOPICS = 20_000;
const MAX_REJECT_PAYLOAD = 4096;
const SUPERSEDED = 'superseded: '
  + 'it was queued while nobody listened, without a time of its own, and a newer one came with it';

/**
 * What an ingest remembers between batches: the last status per device (for deltas and pairing) and where topics lead.
 * @typedef {{previous: BoundedMap<string, unknown>, routes: BoundedMap<string, Route | null>}} Memory
 */

/** @returns {Memory} */
function createMemory() {
  return { previous: new BoundedMap(MAX_DEVICES), routes: new BoundedMap(MAX_TOPICS) };
}

/**
 * parseBatch() with a memory of its own.
 * @param {Tab | null} [tab]  which parsers may be used; null: all
 * @returns {(messages: Message[]) => ParsedBatch}
 * @throws {Error} when there is no such tab
 */
function createIngest(tab = null) {
  if (tab !== null && !TABS.includes(tab)) throw new Error(`Unknown tab "${tab}": use one of ${TABS.join(', ')}.`);
  const memory = createMemory();
  return (messages) => parseBatch(messages, memory, tab);
}

/**
 * The rows of a batch. Never throws: a message that breaks a parser becomes a reject.
 * @param {Message[]} messages  in the order of arrival
 * @param {Memory} memory
 * @param {Tab | null} [tab]
 * @returns {ParsedBatch}
 */
function parseBatch(messages, memory, tab = null) {
  /** @type {ParsedBatch} */
  const out = { readings: [], details: [], samples: [], rejects: [], presence: [], ignored: 0 };
  for (const message of messages) {
    try {
      parseOne(message, memory, tab, out);
    } catch (error) {
      reject(out, 'mqtt', message, `the parser failed: ${error.message}`);
    }
  }
  supersede(out);
  return out;
}

/**
 * @param {Message} message
 * @param {Memory} memory
 * @param {Tab | null} tab
 * @param {ParsedBatch} out
 */
function parseOne(message, memory, tab, out) {
  const { topic, payload } = message;
  let target = memory.routes.get(topic);
  if (target === undefined) {
    target = route(topic, tab);
    memory.routes.set(topic, target);
  }
  if (target === null) {
    reject(out, 'mqtt', message, 'no parser knows this topic');
    return;
  }
  const { parser, device } = target;
  const key = `${parser.protocol} ${device}`;
  const previous = memory.previous.get(key) ?? null;
  const found = parser.parse(topic, payload, previous, message);
  if (found.previous !== previous) memory.previous.set(key, found.previous);
  for (const reading of found.readings) out.readings.push(reading);
  if (found.detail !== undefined) out.details.push(found.detail);
  if (found.samples !== undefined) out.samples.push(...found.samples);
  if (found.presence !== undefined) out.presence.push(found.presence);
  if (found.ignored !== undefined) out.ignored += 1;
  if (found.reject !== null) reject(out, parser.protocol, message, found.reject);
}

/**
 * @param {ParsedBatch} out
 * @param {string} source
 * @param {Pick<Message, 'topic' | 'payload'>} message
 * @param {string} reason
 */
function reject(out, source, message, reason) {
  const topic = storable(String(message?.topic ?? '')).slice(0, 512);
  out.rejects.push({ source, topic, payload: storable(String(message?.payload ?? '')), reason: storable(reason) });
}

/**
 * PostgreSQL text can have no NUL and no half of a surrogate pair.
 * @param {string} text
 */
function storable(text) {
  return text.slice(0, MAX_REJECT_PAYLOAD).replaceAll('\u0000', '\ufffd').toWellFormed();
}

/**
 * Samples and plug details have no clock of their own: of what was queued while we were away only the newest of each
 * has a true time. (Readings are judged in SQL, which knows the clocks; a detail needs no reject next to that of its
 * reading.)
 * @param {ParsedBatch} out
 */
function supersede(out) {
  const details = newestQueued(out.details, (detail) => detail.meter_id);
  out.details = out.details.filter((detail) => !detail.backlog || details.has(detail));
  const samples = newestQueued(out.samples, (sample) => `${sample.kind} ${sample.sensor_id}`);
  out.samples = out.samples.filter((sample) => {
    if (!sample.backlog || samples.has(sample)) return true;
    const message = { topic: `${sample.kind} ${sample.sensor_id}`, payload: JSON.stringify(sample) };
    reject(out, 'esp32', message, SUPERSEDED);
    return false;
  });
}

/**
 * @template {PlugDetail | Sample} Row
 * @param {Row[]} rows
 * @param {(row: Row) => string} key
 * @returns {Set<Row>}
 */
function newestQueued(rows, key) {
  /** @type {Map<string, Row>} */
  const newest = new Map();
  for (const row of rows) if (row.backlog) newest.set(key(row), row);
  return new Set(newest.values());
}

module.exports = { createIngest, createMemory, parseBatch };
