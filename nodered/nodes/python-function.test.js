'use strict';
// The `python-function` node in a whole Node-RED: what a deploy reports, what the node shows, what a flow gets when
// something goes wrong.
const test = require('node:test');
const assert = require('node:assert/strict');
const { until, startNodeRed } = require('./testing');

const KEEP_STATUS = `const { source, text } = msg.status;
flow.set('seen', [...(flow.get('seen') ?? []), source.id + ': ' + text]);`;
const DESCRIBE_ARRAY = 'msg.payload = [msg.payload.constructor.name, ...Array.from(msg.payload, String)]; return msg;';
const DESCRIBE_ERROR = 'return { ...msg, statusCode: msg.busy ? 503 : 500, payload: { error: msg.error.message } };';
const SUM = 'total = 0\nfor item in payload["list"]:\n    total += item\nreturn total';
const SLEEP = 'import time\nimport os\ntime.sleep(payload["seconds"])\nreturn os.getpid()';

const python = (id, script, more = {}) => ({
  id, type: 'python-function', name: id, call: 'script', script, timeout: 20, queueLimit: 2, concurrency: 2,
  wires: [['answer']], ...more,
});
const code = (id, func, to) => ({ id, type: 'function', func, outputs: to ? 1 : 0, wires: to ? [[to]] : [] });
const door = (id, to = id, method = 'post') =>
  ({ id: `in ${id}`, type: 'http in', method, url: `/${id}`, wires: [[to]] });
const NODES = [
  python('mistaken', 'a = 1\nreturn (a'),
  door('binary', 'numbers'),
  code('numbers', 'msg.payload = new Float32Array([1, 2, NaN]); return msg;', 'binary'),
  python('binary', 'return payload * 2', { arrays: 'typed', wires: [['type']] }),
  code('type', DESCRIBE_ARRAY, 'answer'),
  door('slow'),
  python('slow', SLEEP),
  door('wrong'),
  python('wrong', SUM),
  door('late'),
  python('late', 'import time; time.sleep(60)', { timeout: 0.4 }),
  { id: 'caught', type: 'catch', scope: null, wires: [['told']] },
  code('told', DESCRIBE_ERROR, 'answer'),
  { id: 'answer', type: 'http response', wires: [] },
  { id: 'statuses', type: 'status', scope: null, wires: [['keep']] },
  code('keep', KEEP_STATUS),
  door('seen', 'tell', 'get'),
  code('tell', "msg.payload = flow.get('seen') ?? []; return msg;", 'answer'),
];
const FLOWS = [
  { id: 'tab', type: 'tab', label: 'Test' },
  ...NODES.map((node, place) => ({ z: 'tab', x: 200, y: 40 * place, name: '', ...node })),
];

test('the python-function node', { timeout: 60000 }, async (t) => {
  const nodered = await startNodeRed(t, { flows: FLOWS });
  const url = (path) => `http://127.0.0.1:${nodered.port}/api${path}`;
  const call = async (path, payload = {}) => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(url(path), { method: 'POST', headers, body: JSON.stringify(payload) });
    return { status: response.status, body: await response.json() };
  };
  const statusOf = ({ status }) => status;
  const shown = async (wanted) => until(`the status ${wanted}`, async () => {
    const seen = await (await fetch(url('/seen'))).json();
    return seen.some((text) => wanted.test(text));
  });

  await t.test('a script with a mistake is reported at the deploy, on the node and in the log', async () => {
    await shown(/^mistaken: line 2: SyntaxError/);
    assert.match(nodered.log(), /the script of \\?"mistaken\\?": line 2: SyntaxError: '\(' was never closed/);
  });

  await t.test('typed arrays of a function node go and come in binary', async () => {
    assert.deepEqual(await call('/binary'), { status: 200, body: ['Float32Array', '2', '4', 'NaN'] });
    await shown(/^binary: [\d.]+ ms$/);
  });

  await t.test('calls under way and waiting show on the node, and the queue has an end', async () => {
    const calls = Array.from({ length: 5 }, () => call('/slow', { seconds: 0.6 }));
    await shown(/^slow: 2 at work, 2 wait$/);
    const answers = await Promise.all(calls);
    assert.deepEqual(answers.map(statusOf).sort(), [200, 200, 200, 200, 503]);
    const refused = answers.find(({ status }) => status === 503);
    assert.match(refused?.body.error, /^the Python queue is full \(2 calls wait\)/);
    assert.equal(new Set(answers.filter((answer) => answer !== refused).map(({ body: pid }) => pid)).size, 2);
  });

  await t.test('a worker that is killed in mid-call costs no answer', async () => {
    const { body: pid } = await call('/slow', { seconds: 0 });
    const calls = [1, 2].map(() => call('/slow', { seconds: 1 }));
    await shown(/^slow: 2 at work$/);
    process.kill(pid, 'SIGKILL');
    const answers = await Promise.all(calls);
    assert.deepEqual(answers.map(statusOf), [200, 200]);
    assert.ok(answers.every(({ body: answered }) => answered !== pid));
  });

  await t.test('a fault of the script names its line and is no reason to come again; a time-out is', async () => {
    const error = "line 3: TypeError: unsupported operand type(s) for +=: 'int' and 'str'";
    assert.deepEqual(await call('/wrong', { list: [1, 'a'] }), { status: 500, body: { error } });
    const tooLate = 'the Python call took longer than 0.4 s and was ended';
    assert.deepEqual(await call('/late'), { status: 503, body: { error: tooLate } });
  });
});
