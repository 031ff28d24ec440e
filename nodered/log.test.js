'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { format, logging } = require('./log');

const timestamp = Date.parse('2026-01-31T09:15:02.125Z');
const TIME = 'time=2026-01-31T09:15:02.125Z';

test('an event is one line of key=value, whatever is in it', () => {
  const line = (event) => format({ level: 40, timestamp, ...event });
  assert.equal(line({ msg: 'Started flows' }), `${TIME} level=info part=nodered msg="Started flows"`);
  assert.equal(
    line({ level: 30, msg: 'ok', type: 'postgres', name: 'record "x"' }),
    `${TIME} level=warning part=nodered node="postgres:record \\"x\\"" msg=ok`,
  );
  assert.equal(line({ type: 'python', msg: 'a=1\nb' }), `${TIME} level=info part=python msg="a=1\\nb"`);
  const error = line({ level: 20, msg: new Error('no'), type: 'function', id: 'f1' });
  assert.match(error, /level=error part=nodered node=function:f1 msg=no trace="Error: no\\n {4}at /);
  assert.ok(!error.includes('\n'));
  assert.match(line({ msg: { a: 1 } }), / msg="\{\\"a\\":1\}"$/);
  assert.match(line({ msg: undefined }), / msg=undefined$/);
});

test('the levels are ours', () => {
  const levels = ['error', 'warning', 'info', 'debug', undefined].map((level) => logging(level).lines.level);
  assert.deepEqual(levels, ['error', 'warn', 'info', 'debug', 'info']);
});
