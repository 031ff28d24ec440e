import assert from 'node:assert/strict';
import test from 'node:test';
import { STAGES, plantSvg } from './plant.js';

const all = Object.entries(STAGES).flatMap(([species, stages]) => Array.from({ length: stages }, (_, i) => ({ species, stage: i + 1 })));

test('every stage of every species is another picture', () => {
  assert.equal(new Set(all.map(({ species, stage }) => plantSvg(species, stage))).size, 21 + 8 + 7 + 12 - 3, 'the seeds of all four are one');
});

test('no picture contains an inline style, a script or what is not a number', () => {
  for (const { species, stage } of all) {
    for (const health of [100, 50, 0, null]) {
      assert.doesNotMatch(plantSvg(species, stage, health), /NaN|undefined|Infinity|style=|<script/, `${species} ${stage} ${health}`);
    }
  }
});

test('wilting changes every picture but the seed; unknown health is healthy', () => {
  for (const { species, stage } of all.filter((one) => one.stage > 1)) {
    assert.notEqual(plantSvg(species, stage, 0), plantSvg(species, stage, 100), `${species} ${stage}`);
    assert.equal(plantSvg(species, stage, null), plantSvg(species, stage, 100));
  }
});

test('all pictures together stay below 100 kB', () => {
  const bytes = all.reduce((sum, { species, stage }) => sum + plantSvg(species, stage).length, 0);
  assert.ok(bytes < 100_000, `${bytes} bytes`);
});

test('what comes from outside cannot break out of the picture', () => {
  assert.equal(plantSvg('"><script>', 99, 1e9), plantSvg('generic_plant', 21, 100));
  assert.equal(plantSvg('__proto__', 1), plantSvg('generic_plant', 1));
});
