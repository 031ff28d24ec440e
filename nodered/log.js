'use strict';
// Node-RED's log lines in the form of all our parts (see common/logs.py), one event a line:
// time=2026-01-31T09:15:02.125Z level=warning part=nodered node=postgres:ingest_readings msg="rows wait on disk: …"

/** @type {Record<number, string>}  Node-RED's numbers of our levels */
const LEVELS = { 10: 'error', 20: 'error', 30: 'warning', 40: 'info', 50: 'debug', 60: 'debug' };
/** @type {Record<string, string>}  Node-RED's own names of our levels */
const SETTING = { error: 'error', warning: 'warn', info: 'info', debug: 'debug' };

/**
 * An event of Node-RED's log.
 * @typedef {{level: number, msg: any, type?: string, name?: string, id?: string, timestamp: number}} LogEvent
 */

/** @param {unknown} value */
const quoted = (value) => {
  const text = String(value);
  return /^[^\s"=\\]+$/.test(text) ? text : JSON.stringify(text);
};

/**
 * One event as a line without its end.
 * @param {LogEvent} event
 * @returns {string}
 */
function format({ level, msg, type, name, id, timestamp }) {
  const isPython = type === 'python';
  /** @type {Record<string, unknown>} */
  const fields = {
    time: new Date(timestamp).toISOString(),
    level: LEVELS[level] ?? 'info',
    part: isPython ? 'python' : 'nodered',
  };
  if (type && !isPython) fields.node = `${type}:${name || id}`;
  fields.msg = msg?.message ?? (typeof msg === 'object' ? JSON.stringify(msg) : msg);
  if (msg?.stack) fields.trace = msg.stack;
  return Object.entries(fields).map(([key, value]) => `${key}=${quoted(value)}`).join(' ');
}

/**
 * settings.logging for a level of ours.
 * @param {string | undefined} level  error, warning, info or debug
 * @returns {{lines: {level: string, metrics: boolean, audit: boolean, handler: () => (event: LogEvent) => void}}}
 */
const logging = (level) => ({
  lines: {
    level: SETTING[level ?? ''] ?? 'info',
    metrics: false,
    audit: false,
    handler: () => (event) => process.stdout.write(`${format(event)}\n`),
  },
});

module.exports = { format, logging };
