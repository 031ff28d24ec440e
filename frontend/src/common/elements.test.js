import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import test from 'node:test';

const root = resolve(import.meta.dirname, '../..');
const read = (/** @type {string} */ pattern) => (
  globSync(pattern, { cwd: root }).map((file) => readFileSync(resolve(root, file), 'utf8')).join('\n'));

/** The tags of the elements of each id, of all pages. @type {Map<string, Set<string>>} */
const tags = new Map();
for (const [, tag, id] of read('{*,analysis/*}.html').matchAll(/<(\w+)(?=\s)[^>]*\sid="([^"]+)"/g)) {
  tags.set(id, (tags.get(id) ?? new Set()).add(tag));
}

test('every element that a module takes by its id is in a page', () => {
  const named = [...read('src/*/*.js').matchAll(/byId\('([^']+)'\)/g)].map((found) => found[1]);
  assert.ok(named.length > 200, `${named.length} found`);
  assert.deepEqual(named.filter((id) => !tags.has(id)), []);
});

test('elements.d.ts lists what the pages have', () => {
  const listed = [...read('src/common/elements.d.ts').matchAll(/^ {2}'?([\w-]+)'?: HTML(\w+)Element;$/gm)];
  assert.ok(listed.length > 30, `${listed.length} found`);
  /** @type {Record<string, string>} */
  const known = { iframe: 'IFrame' };
  for (const [, id, type] of listed) {
    const types = [...tags.get(id) ?? []].map((tag) => known[tag] ?? `${tag[0].toUpperCase()}${tag.slice(1)}`);
    assert.deepEqual(types, [type], id);
  }
});
