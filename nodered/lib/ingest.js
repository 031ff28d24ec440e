'use strict';
// A batch of MQTT messages → the rows for ingest_readings, record_smartplug, record_environment/record_sensor and record_rejects.

const { route, TABS } = require('./routes');
const { BoundedMap } = require('./bounded-map');

const MAX_DEVICES = 5000;
const MAX_TOPICS = 20_000;
const MAX_REJECT_PAYLOAD = 4096;

/** What an ingest remembers between batches: the last status per device (for deltas and pairing) and where topics lead. */
function createMemory() {
  return { previous: new BoundedMap(MAX_DEVICES), routes: new BoundedMap(MAX_TOPICS) };
}

/**
 * @param {'shelly'|'tasmota'|'esp32'|null} tab  which parsers may answer; null: all
 * @returns {(messages: object[]) => object} see parseBatch
 */
function createIngest(tab = null) {
  if (tab !== null && !TABS.includes(tab)) throw new Error(`Unknown tab "${tab}": use one of ${TABS.join(', ')}.`);
  const memory = createMemory();
  return (messages) => parseBatch(messages, memory, tab);
}

/**
 * @param {{topic: string, payload: string, arrived: string, backlog: boolean}[]} messages  in the order of arrival
 * @returns {{readings: object[], details: object[], samples: object[], rejects: {source, topic, payload, reason}[],
 *   presence: {device, online}[], ignored: number}}  Never throws: a message that breaks a parser becomes a reject.
 */
function parseBatch(messages, memory, tab = null) {
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

function reject(out, source, message, reason) {
  out.rejects.push({ source, topic: storable(String(message?.topic ?? '')).slice(0, 512), payload: storable(String(message?.payload ?? '')), reason: storable(reason) });
}

/** PostgreSQL text holds no NUL and no half of a surrogate pair. */
function storable(text) {
  return text.slice(0, MAX_REJECT_PAYLOAD).replaceAll('\u0000', '\ufffd').toWellFormed();
}

/**
 * Samples and plug details have no clock of their own: of what was queued while we were away only the newest of each has a true time.
 * (Readings are judged in SQL, which knows the clocks; a detail needs no reject beside that of its reading.)
 */
function supersede(out) {
  const details = newestQueued(out.details, (detail) => detail.meter_id);
  out.details = out.details.filter((detail) => !detail.backlog || details.has(detail));
  const samples = newestQueued(out.samples, (sample) => `${sample.kind} ${sample.sensor_id}`);
  out.samples = out.samples.filter((sample) => {
    if (!sample.backlog || samples.has(sample)) return true;
    reject(out, 'esp32', { topic: `${sample.kind} ${sample.sensor_id}`, payload: JSON.stringify(sample) },
      'superseded: it was queued while nobody listened, without a time of its own, and a newer one came with it');
    return false;
  });
}

function newestQueued(rows, key) {
  const newest = new Map();
  for (const row of rows) if (row.backlog) newest.set(key(row), row);
  return new Set(newest.values());
}

module.exports = { createIngest, createMemory, parseBatch };
