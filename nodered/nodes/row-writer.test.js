'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const { Pool } = require('pg');
const { RowWriter } = require('./row-writer');
const { columnLiteral } = require('./arrays');
const { recordsJson, listsJson } = require('./records');
const { delay, until, temporaryDatabase, startProxy } = require('./testing');
const { temporaryFolder } = require('../lib/testing');

const SCHEMA = `
  CREATE TABLE seen (place bigint GENERATED ALWAYS AS IDENTITY, id integer UNIQUE, value float8 CHECK (value >= 0));
  CREATE TABLE refused (id integer, reason text)`;
const INSERT = `INSERT INTO seen (id, value)
  SELECT * FROM unnest($1::integer[], $2::float8[]) ON CONFLICT (id) DO NOTHING`;

/** A writer to a database of its own, behind a proxy that can be cut. */
async function setup(t, options = {}) {
  const database = await temporaryDatabase(t, SCHEMA);
  const proxy = await startProxy(t, { host: '127.0.0.1', port: Number(database.url.port) });
  const pool = new Pool({
    host: '127.0.0.1', port: proxy.port, user: 'postgres', database: database.name, max: 2,
    connectionTimeoutMillis: 1000,
  });
  pool.on('error', () => {});
  const spoolFolder = temporaryFolder(t, 'spool');
  /** @type {(string | null)[]} */
  const failures = [];
  const make = () => new RowWriter({
    write: (batch) => pool.query(INSERT, [columnLiteral(batch, 'id'), columnLiteral(batch, 'value')]),
    reject: (row, error) => pool.query('INSERT INTO refused VALUES ($1, $2)', [row.id, error.message]),
    written: () => {}, changed: (failure) => failures.push(failure),
    spoolFolder, batchRows: 50, batchMs: 10, memoryRows: 1000, spoolBytes: 1 << 20, ...options,
  });
  const writer = make();
  t.after(async () => {
    await writer.close();
    await pool.end();
  });
  const ids = async () => (await database.client.query('SELECT id FROM seen ORDER BY place')).rows.map(({ id }) => id);
  return { writer, make, proxy, database, ids, failures };
}
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const rows = (from, to) => range(from, to).map((id) => ({ id, value: id }));
const allCommitted = (writer) => until('all committed', () => writer.spooled === 0 && writer.queued === 0);

test('rows are committed in order and flush waits for them', async (t) => {
  const { writer, ids } = await setup(t);
  for (let i = 0; i < 10; i++) writer.add(rows(i * 30 + 1, i * 30 + 30));
  await writer.flush();
  assert.deepEqual(await ids(), range(1, 300));
});

test('bad rows are refused one by one, their companions are kept in order', async (t) => {
  const { writer, ids, database } = await setup(t);
  const all = rows(1, 200);
  for (const index of [0, 77, 78, 199]) all[index].value = -1;
  writer.add(all);
  await writer.flush();
  assert.deepEqual(await ids(), range(1, 200).filter((id) => ![1, 78, 79, 200].includes(id)));
  const refused = await database.client.query('SELECT id, reason FROM refused ORDER BY id');
  assert.deepEqual(refused.rows.map(({ id }) => id), [1, 78, 79, 200]);
  assert.match(refused.rows[0].reason, /check constraint/);
});

test('with the database away rows go to disk, and come back in order with what arrives meanwhile', async (t) => {
  const { writer, ids, proxy, failures } = await setup(t);
  writer.add(rows(1, 100));
  await writer.flush();
  proxy.cut();
  for (let i = 1; i < 10; i++) {
    writer.add(rows(i * 100 + 1, i * 100 + 100));
    await delay(20);
  }
  await writer.flush();
  assert.equal(writer.spooled, 900);
  assert.ok(failures[0]);
  proxy.open();
  let next = 1001;
  await until('drained', async () => {
    writer.add(rows(next, next + 9));
    next += 10;
    return writer.spooled === 0 && writer.failure === null;
  });
  await writer.flush();
  await allCommitted(writer);
  assert.deepEqual(await ids(), range(1, next - 1));
  assert.equal(failures.at(-1), null);
});

test('a connection cut again and again neither loses nor reorders a row', async (t) => {
  const { writer, ids, proxy } = await setup(t, { batchRows: 7 });
  let next = 1;
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 10; i++) {
      writer.add(rows(next, next + 10));
      next += 11;
      await delay(3);
    }
    proxy.cut();
    await delay(round * 4);
    proxy.open();
  }
  await allCommitted(writer);
  await writer.flush();
  assert.deepEqual(await ids(), range(1, next - 1));
});

test('a new process sends first what the old one left on disk', async (t) => {
  const { writer, make, ids, proxy } = await setup(t);
  proxy.cut();
  writer.add(rows(1, 700));
  await writer.flush();
  await writer.close();
  proxy.open();
  const successor = make();
  t.after(() => successor.close());
  assert.equal(successor.spooled, 700);
  successor.add(rows(701, 750));
  await allCommitted(successor);
  await successor.flush();
  assert.deepEqual(await ids(), range(1, 750));
});

test('a full spool makes the writer ask for patience, and counts what it could not keep', async (t) => {
  const { writer, ids, proxy } = await setup(t, { spoolBytes: 20000, memoryRows: 500 });
  proxy.cut();
  for (let i = 0; i < 60; i++) {
    writer.add(rows(i * 100 + 1, i * 100 + 100));
    await delay(1);
  }
  assert.ok(writer.spoolFull);
  assert.ok(writer.congested);
  assert.ok(writer.lostRows > 0);
  proxy.open();
  await allCommitted(writer);
  await writer.flush();
  assert.deepEqual(await ids(), range(1, 6000 - writer.lostRows));
  assert.equal(writer.congested, false);
});

test('array literals carry every kind of value exactly', async (t) => {
  const { database } = await setup(t);
  const back = async (type, values) => {
    const literal = columnLiteral(values.map((value) => ({ value })), 'value');
    return (await database.client.query(`SELECT $1::${type}[] AS back`, [literal])).rows[0].back;
  };
  const texts = [
    'plain', 'with "quotes"', 'back\\slash', '{braces},', '', 'NULL', 'zwei\nZeilen', 'ünïcode 🌱', null, undefined,
  ];
  assert.deepEqual(await back('text', texts), texts.map((text) => text ?? null));
  const numbers = [0, -0.1, 1e300, 5e-324, 123456789.12345679, null];
  assert.deepEqual(await back('float8', numbers), numbers);
});

test('records carry every kind of value exactly, without what is null, and texts as PostgreSQL can store them', async (t) => {
  const { database } = await setup(t);
  const back = async (values) =>
    (await database.client.query('SELECT $1::jsonb AS back', [recordsJson(values)])).rows[0].back;
  const phases = [{ phase: 1, power_watts: -5.5, voltage: null }];
  const all = [{ id: 'a "b" \\ \\u0000 🌱', n: 1e300, zero: 0, no: false, empty: '', none: null, missing: undefined, phases }, {}];
  const [{ none, missing, ...told }] = all;
  assert.deepEqual([none, missing], [null, undefined]);
  assert.deepEqual(await back(all), [told, {}]);
  assert.deepEqual(await back([{ text: 'a\u0000b\ud800', deep: [{ text: '\udc00' }] }]), [
    { text: 'a\ufffdb\ufffd', deep: [{ text: '\ufffd' }] },
  ]);
});

test('an object of lists says the same, also of rows with lists in them', async (t) => {
  const { database } = await setup(t);
  const rows = [{ id: 'a', n: 1, none: null }, { id: 'b\u0000', n: undefined, no: false }, { id: '{"}\\', n: -1e-7 }];
  assert.deepEqual(JSON.parse(listsJson(rows)), {
    id: ['a', 'b\ufffd', '{"}\\'], n: [1, null, -1e-7], no: [null, false, null],
  });
  const select = 'SELECT * FROM json_to_record($1) AS r (id text[], n float8[], no boolean[], none text[])';
  const [back] = (await database.client.query(select, [listsJson(rows)])).rows;
  assert.deepEqual(back, { id: ['a', 'b\ufffd', '{"}\\'], n: [1, null, -1e-7], no: [null, false, null], none: null });
  assert.deepEqual(JSON.parse(listsJson([{ id: 'a' }, { phases: [{ phase: 1 }] }])), { id: ['a', null], phases: [null, [{ phase: 1 }]] });
});
