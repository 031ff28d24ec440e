'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { PythonPool } = require('./python-pool');

const { PYTHON } = require('./testing');
const LIMITS = { timeoutMs: 5000, queueLimit: 100 };

function setup(t, options = {}) {
  const lines = [];
  const pool = new PythonPool({ python: PYTHON, log: (line) => lines.push(line), ...options });
  t.after(() => pool.close());
  const script = (text, payload = null, limits = {}) => pool.call({ script: text, payload }, { ...LIMITS, ...limits });
  return { pool, script, lines };
}

test('a function of a module and a typed script answer JSON', async (t) => {
  const { pool, script } = setup(t);
  assert.equal(await pool.call({ target: 'json:dumps', payload: [1, 2] }, LIMITS), '[1, 2]');
  assert.deepEqual(await script('total = sum(payload)\nreturn {"total": total, "nan": float("nan"), "ü": "🌱"}', [1, 2, 3]), { total: 6, nan: null, ü: '🌱' });
});

test('the worker stays warm: imports and globals of a module survive between calls', async (t) => {
  const { script } = setup(t);
  const first = await script('import os\nreturn os.getpid()');
  const begun = performance.now();
  for (let i = 0; i < 50; i++) assert.equal(await script('import os\nreturn os.getpid()'), first);
  const each = (performance.now() - begun) / 50;
  t.diagnostic(`${each.toFixed(2)} ms a call`);
  assert.ok(each < 20);
});

test('what user code prints can not break the answers', async (t) => {
  const { script, lines } = setup(t);
  assert.equal(await script('import sys\nprint("hello" * 3)\nsys.stdout.buffer.write(b"\\x00\\x00\\x00\\x05junk")\nsys.stdout.flush()\nreturn 1'), 1);
  assert.equal(await script('import os\nos.write(1, b"from C\\n"); os.write(2, b"\\xff\\x00"); os.system("echo a child; echo to a child >&2")\nreturn 3'), 3);
  assert.equal(await script('return 2'), 2);
  for (const text of ['hellohellohello', 'from C', 'a child', 'to a child']) assert.ok(lines.some((line) => line.includes(text)), text);
});

test('code that writes to the pipe of the answers costs its worker, not the pool', async (t) => {
  const { script } = setup(t);
  await assert.rejects(script('import os\nos.write(4, bytes(8) + b"\\0\\0\\0\\0junk" * 9)\nreturn 1'), (error) => error.busy === true);
  assert.equal(await script('return 2'), 2);
});

test('binary arrays go both ways, exact, with what JSON has no word for', async (t) => {
  const { pool, script } = setup(t);
  const watts = new Float64Array([1 / 3, NaN, -0, Infinity]);
  const sent = { watts, nested: { counts: new Int32Array([1, -2]), flags: new Uint8Array([7]), raw: Buffer.from([0, 255, 10]) }, big: new BigInt64Array([2n ** 60n]), none: new Float32Array() };
  assert.deepEqual(await script('return {name: [str(a.dtype), a.tolist()] for name, a in {**payload, **payload["nested"]}.items() if hasattr(a, "dtype") and name != "watts"} | {"raw": list(payload["nested"]["raw"])}', sent), {
    counts: ['int32', [1, -2]], flags: ['uint8', [7]], big: ['int64', [2 ** 60]], none: ['float32', []], raw: [0, 255, 10],
  });
  const back = await pool.call({ script: 'payload["watts"][2] = 5; payload["table"] = payload["watts"].reshape(2, 2)\nreturn payload', payload: sent, typedArrays: true }, LIMITS);
  assert.deepEqual(back, { ...sent, watts: new Float64Array([1 / 3, NaN, 5, Infinity]), table: [new Float64Array([1 / 3, NaN]), new Float64Array([5, Infinity])] });
  assert.deepEqual(await script('return payload', watts), [1 / 3, null, -0, null]);
  assert.ok((await script('return b"\\x00\\xff"')).equals(Buffer.from([0, 255])));
  // Made in a realm of its own, as a function node's are.
  assert.deepEqual(await script('return str(payload.dtype)', require('node:vm').runInNewContext('new Float32Array(3)')), 'float32');
});

test('a payload that has no JSON is refused, and one that Python finds too deep leaves the worker alive', async (t) => {
  const { script } = setup(t);
  const nested = (depth) => JSON.parse('{"a":'.repeat(depth) + '1' + '}'.repeat(depth));
  const pid = await script('import os; return os.getpid()');
  await assert.rejects(script('return 1', nested(50_000)), /payload can't be given to Python/);
  await assert.rejects(script('return 1', { number: 1n }), /payload can't be given to Python.*BigInt/);
  await assert.rejects(script('return 1', nested(1_500)), (error) => /RecursionError/.test(error.message) && !error.busy);
  assert.equal(await script('import os; return os.getpid()'), pid);
});

test('errors carry the Python message and leave the worker alive', async (t) => {
  const { script, pool } = setup(t);
  const pid = await script('import os; return os.getpid()');
  await assert.rejects(script('return payload["missing"]', {}), (error) => error.message === "KeyError: 'missing'" && /KeyError/.test(error.traceback));
  await assert.rejects(script('import sys; sys.exit(3)'), /SystemExit/);
  await assert.rejects(script('return ('), /SyntaxError/);
  await assert.rejects(script('return object()'), /can't be sent as JSON/);
  await assert.rejects(pool.call({ target: 'no_such_module:f' }, LIMITS), /ModuleNotFoundError/);
  await assert.rejects(pool.call({ target: 'nonsense' }, LIMITS), /expected package.module:function/);
  assert.equal(await script('import os; return os.getpid()'), pid);
});

test('a call that takes too long is ended, and those behind it are answered', async (t) => {
  const { script } = setup(t);
  const slow = script('import time; time.sleep(60)', null, { timeoutMs: 300 });
  const behind = [1, 2, 3].map((n) => script('return payload', n));
  await assert.rejects(slow, /longer than 0.3 s/);
  assert.deepEqual(await Promise.all(behind), [1, 2, 3]);
});

test('workers killed in the middle of their work never lose or mix up a call', { timeout: 60000 }, async (t) => {
  const { pool, script } = setup(t, { size: 2 });
  let answered = 0;
  // By count, not by time: on a slow machine a worker must get some work done before it dies.
  const killSometimes = () => {
    answered += 1;
    if (answered % 15 === 0) [...pool.workers][answered % 2]?.child.kill('SIGKILL');
  };
  const calls = Array.from({ length: 300 }, (_, i) => script('import time; time.sleep(0.002); return payload', { i }, { queueLimit: 1000 }).then((answer) => {
    assert.deepEqual(answer, { i });
    killSometimes();
    return 'answered';
  }, (error) => {
    assert.match(error.message, /worker ended/);
    return 'met two kills';
  }));
  const outcomes = await Promise.all(calls);
  t.diagnostic(`${outcomes.filter((outcome) => outcome !== 'answered').length} of 300 calls met two kills`);
  assert.ok(outcomes.filter((outcome) => outcome === 'answered').length > 290);
});

test('a full queue says so at once', async (t) => {
  const { script } = setup(t);
  const limits = { queueLimit: 2 };
  const calls = [1, 2, 3].map((n) => script('import time; time.sleep(0.3); return payload', n, limits));
  await assert.rejects(script('return 4', 4, limits), /queue is full \(2 calls wait\)/);
  assert.deepEqual(await Promise.all(calls), [1, 2, 3]);
});

test('big payloads go both ways', async (t) => {
  const { script } = setup(t);
  const big = Array.from({ length: 200000 }, (_, i) => i);
  const answer = await script('return payload[::-1]', big);
  assert.equal(answer.length, big.length);
  assert.equal(answer[0], 199999);
});

test('an interpreter that is missing is named', async (t) => {
  const { script } = setup(t, { python: '/nowhere/python' });
  await assert.rejects(script('return 1'), /\/nowhere\/python/);
});

test('a script is checked without being run, and its mistakes name the line as typed', async (t) => {
  const { pool, script, lines } = setup(t);
  const check = (text) => pool.call({ script: text, check: true }, LIMITS);
  await check('print("not run")\nreturn 1');
  await assert.rejects(check('a = 1\n\nreturn (a\n'), (error) => error.line === 3 && /SyntaxError/.test(error.message) && !error.busy);
  await assert.rejects(script('a = payload\n\nreturn a["missing"]', {}), (error) => error.line === 3);
  await assert.rejects(script('import json\nreturn json.loads(payload)', '{'), (error) => error.line === 2);
  assert.equal(await script('return """one\n  two"""'), 'one\n  two');
  assert.deepEqual(lines, []);
});

test('a lane uses no more workers than it may, and the others go on', async (t) => {
  const { pool, script } = setup(t, { size: 3 });
  const slow = Array.from({ length: 4 }, () => script('import time; time.sleep(0.4); return 1', null, { lane: 'slow', concurrency: 2, queueLimit: 2 }));
  await assert.rejects(script('return 1', null, { lane: 'slow', concurrency: 2, queueLimit: 2 }), (error) => error.busy === true);
  const begun = performance.now();
  assert.equal(await script('return 2', null, { lane: 'quick', concurrency: 1 }), 2);
  t.diagnostic(`the other lane: ${Math.round(performance.now() - begun)} ms`);
  assert.equal(pool.workers.size, 3);
  assert.equal(pool.queued('slow'), 2);
  assert.deepEqual(await Promise.all(slow), [1, 1, 1, 1]);
});

test('a lane keeps to the worker that knows its modules', async (t) => {
  const { script } = setup(t, { size: 2 });
  const pid = (lane) => script('import os; return os.getpid()', null, { lane, concurrency: 1 });
  const [first, second] = await Promise.all([pid('one'), pid('two')]);
  assert.notEqual(first, second);
  for (let i = 0; i < 5; i++) {
    assert.equal(await pid('one'), first);
    assert.equal(await pid('two'), second);
  }
});
