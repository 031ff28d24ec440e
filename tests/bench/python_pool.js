'use strict';
// Milliseconds of warm calls of an empty Python function through the pool of the python-function node, as a JSON list.
const { PythonPool } = require('../../nodered/nodes/python-pool');

const CALLS = 1000;

(async () => {
  const pool = new PythonPool({ python: process.env.ENMS_PYTHON });
  const call = () => pool.call({ target: 'analysis.service:ping', payload: null }, { timeoutMs: 10_000, queueLimit: 1 });
  for (let i = 0; i < 20; i += 1) await call();
  const times = [];
  for (let i = 0; i < CALLS; i += 1) {
    const begun = performance.now();
    await call();
    times.push(performance.now() - begun);
  }
  await pool.close();
  console.log(JSON.stringify(times));
})();
