'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Journal, HEADER_BYTES } = require('./journal');
const { temporaryFolder } = require('../lib/testing');

const temporary = (t) => temporaryFolder(t, 'journal');
const record = (text) => Buffer.concat([Buffer.alloc(HEADER_BYTES), Buffer.from(text)]);
const texts = (journal, after = journal.checkpointed) =>
  [...journal.readAfter(after)].map(({ seq, body }) => [seq, body.toString()]);
/** A journal with this many messages. */
function filled(folder, count, options) {
  const journal = new Journal(folder, options);
  for (let i = 1; i <= count; i++) assert.equal(journal.append(record(`message ${i}`)), i);
  return journal;
}
const segmentsIn = (folder) => fs.readdirSync(folder).filter((name) => name.endsWith('.seg'));
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Spoils the last byte of the newest segment. */
function damage(folder) {
  const file = path.join(folder, segmentsIn(folder).sort().at(-1) ?? '');
  const content = fs.readFileSync(file);
  content[content.length - 1] ^= 1;
  fs.writeFileSync(file, content);
}

test('records come back in order after reopening', (t) => {
  const folder = temporary(t);
  filled(folder, 20, { segmentBytes: 64 }).close();
  const again = new Journal(folder);
  assert.deepEqual(texts(again), range(1, 20).map((i) => [i, `message ${i}`]));
  assert.equal(again.append(record('next')), 21);
  assert.equal(again.pending, 21);
});

test('a checkpoint deletes the segments before it and survives reopening', (t) => {
  const folder = temporary(t);
  const journal = filled(folder, 20, { segmentBytes: 64 });
  const before = fs.readdirSync(folder).length;
  journal.checkpoint(15);
  assert.ok(fs.readdirSync(folder).length < before);
  journal.close();
  const again = new Journal(folder);
  assert.deepEqual(texts(again).map(([seq]) => seq), range(16, 20));
  again.checkpoint(20);
  assert.equal(again.pending, 0);
  assert.equal(new Journal(folder).append(record('x')), 21);
});

test('a last record cut at any byte is dropped and writing continues', (t) => {
  const whole = temporary(t);
  const journal = new Journal(whole);
  journal.append(record('kept'));
  const keptBytes = journal.bytes;
  journal.append(record('cut in the middle'));
  const [segment] = segmentsIn(whole);
  const content = fs.readFileSync(path.join(whole, segment));
  for (let length = keptBytes; length < content.length; length++) {
    const folder = temporary(t);
    fs.writeFileSync(path.join(folder, segment), content.subarray(0, length));
    const reopened = new Journal(folder);
    assert.deepEqual(texts(reopened), [[1, 'kept']]);
    assert.equal(reopened.append(record('after')), 2);
    assert.deepEqual(texts(new Journal(folder)), [[1, 'kept'], [2, 'after']]);
  }
});

test('a damaged byte ends the segment instead of giving a wrong record', (t) => {
  const folder = temporary(t);
  const journal = new Journal(folder);
  journal.append(record('good'));
  journal.append(record('damaged'));
  journal.close();
  damage(folder);
  assert.deepEqual(texts(new Journal(folder)), [[1, 'good']]);
});

test('records larger than the read buffer are read whole', (t) => {
  const folder = temporary(t);
  const big = 'x'.repeat(3 << 20);
  const journal = new Journal(folder);
  journal.append(record('small'));
  journal.append(record(big));
  journal.append(record('small again'));
  assert.deepEqual(texts(journal).map(([, text]) => text.length), [5, big.length, 11]);
});

test('records appended while reading are seen, so that a drain can catch up', (t) => {
  const journal = new Journal(temporary(t), { segmentBytes: 40 });
  journal.append(record('1'));
  const seen = [];
  for (const { body } of journal.readAfter(0)) {
    seen.push(body.toString());
    if (seen.length < 50) journal.append(record(String(seen.length + 1)));
  }
  assert.deepEqual(seen, range(1, 50).map(String));
});

test('the newest records stay readable behind the checkpoint when they are asked for', (t) => {
  const folder = temporary(t);
  const options = { segmentBytes: 64, keepRecords: 5 };
  const journal = filled(folder, 20, options);
  journal.checkpoint(20);
  journal.close();
  const again = new Journal(folder, options);
  assert.equal(again.pending, 0);
  assert.deepEqual(texts(again, 15).map(([seq]) => seq), range(16, 20));
  assert.ok(texts(again, 0).length < 12);
  assert.equal(again.append(record('next')), 21);
});

test('what a power cut took of the kept records is not missed; what is still needed is', (t) => {
  const options = { keepRecords: 5 };
  for (const spoil of [damage, (folder) => segmentsIn(folder).forEach((name) => fs.rmSync(path.join(folder, name)))]) {
    const folder = temporary(t);
    const journal = filled(folder, 20, options);
    journal.checkpoint(20);
    journal.close();
    spoil(folder);
    const again = new Journal(folder, options);
    assert.ok(texts(again, 15).length < 5);
    assert.equal(again.append(record('next')), 21);
    assert.deepEqual(texts(again), [[21, 'next']]);
  }
  const folder = temporary(t);
  filled(folder, 20, { segmentBytes: 64 }).close();
  const needed = new Journal(folder);
  damage(folder);
  assert.throws(() => texts(needed), /record \d+ is unreadable/);
});
