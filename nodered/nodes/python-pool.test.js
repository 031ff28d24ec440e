'use strict';
/** @import { Limits } from './python-pool' */

const test = require('node:test');
const assert = require('node:assert/strict');
const vm = require('node:vm');
const { PythonPool } = require('./python-pool');
const { PYTHON } = require('./testing');

const LIMITS = { timeoutMs: 5000, queueLimit: 100 };
const MY_PID = 'import os\nreturn os.getpid()';
const busy = { busy: true };

/** A pool, and what is printed in it. */
function setup(t, options = {}) {
  /** @type {string[]} */
  const lines = [];
  const pool = new PythonPool({ python: PYTHON, log: (line) => lines.push(line), ...options });
  t.after(() => pool.close());
  /**
   * @param {string} text
   * @param {unknown} [payload]
   * @param {Partial<Limits>} [limits]
   */
  const script = (text, payload, limits) => pool.call({ script: text, payload }, { ...LIMITS, ...limits });
  return { pool, script, lines };
}

test('a function of a module and a typed script return JSON', async (t) => {
  const { pool, script } = setup(t);
  assert.equal(await pool.call({ target: 'json:dumps', payload: [1, 2] }, LIMITS), '[1, 2]');
  const text = 'total = sum(payload)\nreturn {"total": total, "nan": float("nan"), "ü": "🌱"}';
  assert.deepEqual(await script(text, [1, 2, 3]), { total: 6, nan: null, ü: '🌱' });
});

test('the worker stays warm: imports and globals of a module survive between calls', async (t) => {
  const { script } = setup(t);
  const first = await script(MY_PID);
  const began = performance.now();
  for (let i = 0; i < 50; i++) assert.equal(await script(MY_PID), first);
  const each = (performance.now() - began) / 50;
  t.diagnostic(`${each.toFixed(2)} ms a call`);
  assert.ok(each < 20);
});

test('what user code prints can not break the answers', async (t) => {
  const { script, lines } = setup(t);
  const prints = `import sys
print("hello" * 3)
sys.stdout.buffer.write(b"\\x00\\x00\\x00\\x05junk")
sys.stdout.flush()
return 1`;
  assert.equal(await script(prints), 1);
  const writes = `import os
os.write(1, b"from C\\n"); os.write(2, b"\\xff\\x00"); os.system("echo a child; echo to a child >&2")
return 3`;
  assert.equal(await script(writes), 3);
  assert.equal(await script('return 2'), 2);
  for (const text of ['hellohellohello', 'from C', 'a child', 'to a child']) {
    assert.ok(lines.some((line) => line.includes(text)), text);
  }
});

test('code that writes to the pipe of the answers costs its worker, not the pool', async (t) => {
  const { script } = setup(t);
  await assert.rejects(script('import os\nos.write(4, bytes(8) + b"\\0\\0\\0\\0junk" * 9)\nreturn 1'), busy);
  assert.equal(await script('return 2'), 2);
});

test('binary arrays go both ways, exact, with what JSON has no word for', async (t) => {
  const { pool, script } = setup(t);
  const watts = new Float64Array([1 / 3, NaN, -0, Infinity]);
  const nested = { counts: new Int32Array([1, -2]), flags: new Uint8Array([7]), raw: Buffer.from([0, 255, 10]) };
  const payload = { watts, nested, big: new BigInt64Array([2n ** 60n]), none: new Float32Array() };
  const tells = `found = {**payload, **payload["nested"]}
kinds = {name: [str(a.dtype), a.tolist()] for name, a in found.items() if hasattr(a, "dtype") and name != "watts"}
return kinds | {"raw": list(payload["nested"]["raw"])}`;
  assert.deepEqual(await script(tells, payload), {
    counts: ['int32', [1, -2]], flags: ['uint8', [7]], big: ['int64', [2 ** 60]], none: ['float32', []],
    raw: [0, 255, 10],
  });
  const changes = 'payload["watts"][2] = 5; payload["table"] = payload["watts"].reshape(2, 2)\nreturn payload';
  assert.deepEqual(await pool.call({ script: changes, payload, typedArrays: true }, LIMITS), {
    ...payload,
    watts: new Float64Array([1 / 3, NaN, 5, Infinity]),
    table: [new Float64Array([1 / 3, NaN]), new Float64Array([5, Infinity])],
  });
  assert.deepEqual(await script('return payload', watts), [1 / 3, null, -0, null]);
  assert.ok((await script('return b"\\x00\\xff"')).equals(Buffer.from([0, 255])));
  // Made in a realm of its own, as a function node's are.
  assert.deepEqual(await script('return str(payload.dtype)', vm.runInNewContext('new Float32Array(3)')), 'float32');
});

test('a payload that has no JSON is refused, and one that Python finds too deep leaves the worker alive', async (t) => {
  const { script } = setup(t);
  const nested = (depth) => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);
  const pid = await script(MY_PID);
  await assert.rejects(script('return 1', nested(50_000)), /payload can't be given to Python/);
  await assert.rejects(script('return 1', { number: 1n }), /payload can't be given to Python.*BigInt/);
  await assert.rejects(script('return 1', nested(1_500)), { message: /RecursionError/, line: null });
  assert.equal(await script(MY_PID), pid);
});

test('errors carry the Python message and leave the worker alive', async (t) => {
  const { script, pool } = setup(t);
  const pid = await script(MY_PID);
  const missing = { message: "KeyError: 'missing'", traceback: /KeyError/ };
  await assert.rejects(script('return payload["missing"]', {}), missing);
  await assert.rejects(script('import sys; sys.exit(3)'), /SystemExit/);
  await assert.rejects(script('return ('), /SyntaxError/);
  await assert.rejects(script('return object()'), /can't be sent as JSON/);
  await assert.rejects(pool.call({ target: 'no_such_module:f' }, LIMITS), /ModuleNotFoundError/);
  await assert.rejects(pool.call({ target: 'nonsense' }, LIMITS), /expected package.module:function/);
  assert.equal(await script(MY_PID), pid);
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
  const call = async (_, i) => {
    try {
      const answer = await script('import time; time.sleep(0.002); return payload', { i }, { queueLimit: 1000 });
      assert.deepEqual(answer, { i });
      killSometimes();
      return true;
    } catch (error) {
      assert.match(error.message, /worker ended/);
      return false;
    }
  };
  const outcomes = await Promise.all(Array.from({ length: 300 }, call));
  const unlucky = outcomes.filter((isAnswered) => !isAnswered).length;
  t.diagnostic(`${unlucky} of 300 calls met two kills`);
  assert.ok(unlucky < 10);
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
  await assert.rejects(check('a = 1\n\nreturn (a\n'), { message: /SyntaxError/, line: 3 });
  await assert.rejects(script('a = payload\n\nreturn a["missing"]', {}), { line: 3 });
  await assert.rejects(script('import json\nreturn json.loads(payload)', '{'), { line: 2 });
  assert.equal(await script('return """one\n  two"""'), 'one\n  two');
  assert.deepEqual(lines, []);
});

test('a lane uses no more workers than it may, and the others continue', async (t) => {
  const { pool, script } = setup(t, { size: 3 });
  const limits = { lane: 'slow', concurrency: 2, queueLimit: 2 };
  const slow = Array.from({ length: 4 }, () => script('import time; time.sleep(0.4); return 1', null, limits));
  await assert.rejects(script('return 1', null, limits), busy);
  const began = performance.now();
  assert.equal(await script('return 2', null, { lane: 'quick', concurrency: 1 }), 2);
  t.diagnostic(`the other lane: ${Math.round(performance.now() - began)} ms`);
  assert.equal(pool.workers.size, 3);
  assert.equal(pool.queued('slow'), 2);
  assert.deepEqual(await Promise.all(slow), [1, 1, 1, 1]);
});

test('a lane keeps to the worker that knows its modules', async (t) => {
  const { script } = setup(t, { size: 2 });
  const pid = (lane) => script(MY_PID, null, { lane, concurrency: 1 });
  const [first, second] = await Promise.all([pid('one'), pid('two')]);
  assert.notEqual(first, second);
  for (let i = 0; i < 5; i++) {
    assert.equal(await pid('one'), first);
    assert.equal(await pid('two'), second);
  }
});
