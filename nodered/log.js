'use strict';
// Node-RED's log lines in the form of all our parts (see launcher/logs.py), one event a line:
// time=2026-01-31T09:15:02.125Z level=info part=nodered node="postgres:ingest_readings" msg="the database takes rows again"

const LEVELS = { 10: 'error', 20: 'error', 30: 'warning', 40: 'info', 50: 'debug', 60: 'debug' };
// Node-RED's own names of our levels.
const SETTING = { error: 'error', warning: 'warn', info: 'info', debug: 'debug' };

const quoted = (value) => {
  const text = String(value);
  return /^[^\s"=\\]+$/.test(text) ? text : JSON.stringify(text);
};

/** One event of Node-RED ({level, msg, type, name, id, timestamp}) as a line without its end. */
function format({ level, msg, type, name, id, timestamp }) {
  const fields = { time: new Date(timestamp).toISOString(), level: LEVELS[level] ?? 'info', part: type === 'python' ? 'python' : 'nodered' };
  if (type && type !== 'python') fields.node = `${type}:${name || id}`;
  fields.msg = msg?.message ?? (typeof msg === 'object' ? JSON.stringify(msg) : msg);
  if (msg?.stack) fields.trace = msg.stack;
  return Object.entries(fields).map(([key, value]) => `${key}=${quoted(value)}`).join(' ');
}

/** settings.logging for a level of ours: error, warning, info or debug. */
const logging = (level) => ({
  lines: { level: SETTING[level] ?? 'info', metrics: false, audit: false, handler: () => (event) => process.stdout.write(`${format(event)}\n`) },
});

module.exports = { format, logging };
