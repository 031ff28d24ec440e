'use strict';
// The `python-function` node in a whole Node-RED: what a deploy says, what the node shows, what a flow gets when something goes wrong.
const test = require('node:test');
const assert = require('node:assert/strict');
const { until, startNodeRed } = require('./testing');

const python = (id, script, more) => ({ id, type: 'python-function', z: 'tab', name: id, call: 'script', script, timeout: 20, queueLimit: 2, concurrency: 2, wires: [['answer']], ...more });
const door = (id, to = id) => ({ id: `in ${id}`, type: 'http in', z: 'tab', method: 'post', url: `/${id}`, wires: [[to]] });
const FLOWS = [
  { id: 'tab', type: 'tab', label: 'Test' },
  python('mistaken', 'a = 1\nreturn (a'),
  door('binary', 'numbers'),
  { id: 'numbers', type: 'function', z: 'tab', func: 'msg.payload = new Float32Array([1, 2, NaN]); return msg;', outputs: 1, wires: [['binary']] },
  python('binary', 'return payload * 2', { arrays: 'typed', wires: [['type']] }),
  { id: 'type', type: 'function', z: 'tab', func: 'msg.payload = [msg.payload.constructor.name, ...Array.from(msg.payload, String)]; return msg;', outputs: 1, wires: [['answer']] },
  door('slow'),
  python('slow', 'import time\nimport os\ntime.sleep(payload["seconds"])\nreturn os.getpid()'),
  door('wrong'),
  python('wrong', 'total = 0\nfor item in payload["list"]:\n    total += item\nreturn total', { wires: [['answer']] }),
  door('late'),
  python('late', 'import time; time.sleep(60)', { timeout: 0.4 }),
  { id: 'caught', type: 'catch', z: 'tab', scope: null, wires: [['told']] },
  { id: 'told', type: 'function', z: 'tab', func: 'return { ...msg, statusCode: msg.busy ? 503 : 500, payload: { error: msg.error.message } };', outputs: 1, wires: [['answer']] },
  { id: 'answer', type: 'http response', z: 'tab', wires: [] },
  { id: 'statuses', type: 'status', z: 'tab', scope: null, wires: [['keep']] },
  { id: 'keep', type: 'function', z: 'tab', func: "flow.set('seen', [...(flow.get('seen') ?? []), `${msg.status.source.id}: ${msg.status.text}`]);", outputs: 0, wires: [] },
  { id: 'ask seen', type: 'http in', z: 'tab', method: 'get', url: '/seen', wires: [['seen']] },
  { id: 'seen', type: 'function', z: 'tab', func: "msg.payload = flow.get('seen') ?? []; return msg;", outputs: 1, wires: [['answer']] },
].map((node, place) => (node.z ? { x: 200, y: 40 * place, name: '', ...node } : node));

test('the python-function node', { timeout: 60000 }, async (t) => {
  const nodered = await startNodeRed(t, { flows: FLOWS });
  const url = (path) => `http://127.0.0.1:${nodered.port}/api${path}`;
  const call = async (path, payload = {}) => {
    const response = await fetch(url(path), { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(payload) });
    return [response.status, await response.json()];
  };
  const shown = async (wanted) => until(`the status ${wanted}`, async () => (await (await fetch(url('/seen'))).json()).some((text) => wanted.test(text)));

  await t.test('a script with a mistake is told at the deploy, with its line, on the node and in the log', async () => {
    await shown(/^mistaken: line 2: SyntaxError/);
    assert.match(nodered.log(), /the script of \\?"mistaken\\?": line 2: SyntaxError: '\(' was never closed/);
  });

  await t.test('typed arrays of a function node go and come in binary', async () => {
    assert.deepEqual(await call('/binary'), [200, ['Float32Array', '2', '4', 'NaN']]);
    await shown(/^binary: [\d.]+ ms$/);
  });

  await t.test('calls under way and waiting show on the node, and the queue has an end', async () => {
    const calls = Array.from({ length: 5 }, () => call('/slow', { seconds: 0.6 }));
    await shown(/^slow: 2 at work, 2 wait$/);
    const answers = await Promise.all(calls);
    assert.deepEqual(answers.map(([status]) => status).sort(), [200, 200, 200, 200, 503]);
    assert.match(answers.find(([status]) => status === 503)[1].error, /^the Python queue is full \(2 calls wait\)/);
    assert.equal(new Set(answers.filter(([status]) => status === 200).map(([, pid]) => pid)).size, 2);
  });

  await t.test('a worker that is killed in mid-call costs no answer', async () => {
    const [, pid] = await call('/slow', { seconds: 0 });
    const calls = [1, 2].map(() => call('/slow', { seconds: 1 }));
    await shown(/^slow: 2 at work$/);
    process.kill(pid, 'SIGKILL');
    const answers = await Promise.all(calls);
    assert.deepEqual(answers.map(([status]) => status), [200, 200]);
    assert.ok(answers.every(([, answered]) => answered !== pid));
  });

  await t.test('a fault of the script names its line and is no reason to come again; a time-out is', async () => {
    assert.deepEqual(await call('/wrong', { list: [1, 'a'] }), [500, { error: "line 3: TypeError: unsupported operand type(s) for +=: 'int' and 'str'" }]);
    assert.deepEqual(await call('/late'), [503, { error: 'the Python call took longer than 0.4 s and was ended' }]);
  });
});
