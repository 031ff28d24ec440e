'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { format, logging } = require('./log');

const timestamp = Date.parse('2026-01-31T09:15:02.125Z');

test('an event is one line of key=value, whatever it says', () => {
  assert.equal(format({ level: 40, msg: 'Started flows', timestamp }), 'time=2026-01-31T09:15:02.125Z level=info part=nodered msg="Started flows"');
  assert.equal(format({ level: 30, msg: 'ok', type: 'postgres', name: 'record "x"', timestamp }), 'time=2026-01-31T09:15:02.125Z level=warning part=nodered node="postgres:record \\"x\\"" msg=ok');
  assert.equal(format({ level: 40, type: 'python', msg: 'a=1\nb', timestamp }), 'time=2026-01-31T09:15:02.125Z level=info part=python msg="a=1\\nb"');
  const error = format({ level: 20, msg: new Error('no'), type: 'function', id: 'f1', timestamp });
  assert.match(error, /level=error part=nodered node=function:f1 msg=no trace="Error: no\\n {4}at /);
  assert.ok(!error.includes('\n'));
  assert.match(format({ level: 40, msg: { a: 1 }, timestamp }), / msg="\{\\"a\\":1\}"$/);
  assert.match(format({ level: 40, msg: undefined, timestamp }), / msg=undefined$/);
});

test('the levels are ours', () => {
  assert.deepEqual(['error', 'warning', 'info', 'debug', undefined].map((level) => logging(level).lines.level), ['error', 'warn', 'info', 'debug', 'info']);
});
