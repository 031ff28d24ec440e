import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import test from 'node:test';
import { en } from './texts.en.js';
import { t } from './texts.js';

const root = resolve(import.meta.dirname, '../..');

/** The text of all files of a pattern, tests apart. */
function read(/** @type {string} */ pattern) {
  const files = globSync(pattern, { cwd: root }).filter((file) => !file.endsWith('.test.js'));
  return files.map((file) => readFileSync(resolve(root, file), 'utf8')).join('\n');
}

test('every text that a page or a module names is there', () => {
  const inPages = read('{*,analysis/*}.html').matchAll(/data-t(?:-label|-placeholder)?="([^"]+)"/g);
  const inModules = read('src/**/*.js').matchAll(/\b(?:t|section|table|nothing|row|measure|named|turn|resultLine)\('([a-z][\w.]*)'/gi);
  const named = [...inPages, ...inModules].map((found) => found[1]);
  assert.ok(named.length > 200, `${named.length} found`);
  assert.deepEqual(named.filter((key) => !(key in en)), []);
});

test('an unknown text is a fault, a missing value is left out', () => {
  assert.throws(() => t('no.such'), /no text "no.such"/);
  assert.equal(t('prints.page', { from: 1, to: 25 }), '1–25 of ');
});
