'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Journal, HEADER_BYTES } = require('./journal');

const temporary = (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'journal-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
};
const record = (text) => Buffer.concat([Buffer.alloc(HEADER_BYTES), Buffer.from(text)]);
const texts = (journal, after = journal.checkpointed) => [...journal.readAfter(after)].map(({ seq, body }) => [seq, body.toString()]);

test('records come back in order after reopening', (t) => {
  const folder = temporary(t);
  const journal = new Journal(folder, { segmentBytes: 64 });
  for (let i = 1; i <= 20; i++) assert.equal(journal.append(record(`message ${i}`)), i);
  journal.close();
  const again = new Journal(folder);
  assert.deepEqual(texts(again), Array.from({ length: 20 }, (_, i) => [i + 1, `message ${i + 1}`]));
  assert.equal(again.append(record('next')), 21);
  assert.equal(again.pending, 21);
});

test('a checkpoint deletes the segments before it and survives reopening', (t) => {
  const folder = temporary(t);
  const journal = new Journal(folder, { segmentBytes: 64 });
  for (let i = 1; i <= 20; i++) journal.append(record(`message ${i}`));
  const before = fs.readdirSync(folder).length;
  journal.checkpoint(15);
  assert.ok(fs.readdirSync(folder).length < before);
  journal.close();
  const again = new Journal(folder);
  assert.deepEqual(texts(again).map(([seq]) => seq), [16, 17, 18, 19, 20]);
  again.checkpoint(20);
  assert.equal(again.pending, 0);
  assert.equal(new Journal(folder).append(record('x')), 21);
});

test('a last record cut at any byte is dropped and writing goes on', (t) => {
  const whole = temporary(t);
  const journal = new Journal(whole);
  journal.append(record('kept'));
  const keptBytes = journal.bytes;
  journal.append(record('cut in the middle'));
  const segment = fs.readdirSync(whole).find((name) => name.endsWith('.seg'));
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
  const file = path.join(folder, fs.readdirSync(folder).find((name) => name.endsWith('.seg')));
  const content = fs.readFileSync(file);
  content[content.length - 1] ^= 1;
  fs.writeFileSync(file, content);
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
  assert.equal(seen.length, 50);
  assert.deepEqual(seen, Array.from({ length: 50 }, (_, i) => String(i + 1)));
});

test('the newest records stay readable behind the checkpoint when they are asked for', (t) => {
  const folder = temporary(t);
  const journal = new Journal(folder, { segmentBytes: 64, keepRecords: 5 });
  for (let i = 1; i <= 20; i++) journal.append(record(`message ${i}`));
  journal.checkpoint(20);
  journal.close();
  const again = new Journal(folder, { segmentBytes: 64, keepRecords: 5 });
  assert.equal(again.pending, 0);
  const kept = texts(again, 15).map(([seq]) => seq);
  assert.deepEqual(kept, [16, 17, 18, 19, 20]);
  assert.ok(texts(again, 0).length < 12);
  assert.equal(again.append(record('next')), 21);
});
