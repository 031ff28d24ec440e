import assert from 'node:assert/strict';
import test from 'node:test';
import { dayStart, foreignZone, instantOf, knowZone, monthStart, setZone, wallTime, zone } from './clock.js';

const utc = (/** @type {string} */ text) => Date.parse(text);

test('a time is shown by the clock of the factory', () => {
  setZone('Europe/Berlin');
  assert.equal(wallTime(utc('2026-01-15T23:30:00Z')), '2026-01-16T00:30');
  assert.equal(wallTime(utc('2026-07-15T23:30:00Z')), '2026-07-16T01:30');
  setZone('Asia/Kathmandu');
  assert.equal(wallTime(utc('2026-01-15T23:30:00Z')), '2026-01-16T05:15');
});

test('there and back again, through both changes of the clock', () => {
  for (const name of ['Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu', 'UTC', 'Australia/Lord_Howe']) {
    setZone(name);
    for (const begin of ['2026-03-28T00:00:00Z', '2026-10-24T00:00:00Z', '2026-04-04T00:00:00Z', '2026-10-31T20:00:00Z']) {
      for (let at = utc(begin); at < utc(begin) + 48 * 3_600_000; at += 900_000) {
        assert.equal(wallTime(instantOf(wallTime(at))), wallTime(at), `${name} ${new Date(at).toISOString()}`);
      }
    }
  }
});

test('an hour that comes twice is the first, one that is left out is read by the zone before', () => {
  setZone('Europe/Berlin');
  assert.equal(instantOf('2026-10-25T02:30'), utc('2026-10-25T00:30:00Z'));
  assert.equal(instantOf('2026-03-29T02:30'), utc('2026-03-29T01:30:00Z'));
});

test('days and months begin at the midnight of the factory', () => {
  setZone('Europe/Berlin');
  const now = utc('2026-03-29T22:30:00Z'); // 00:30 on the 30th, the day after the clock was put forward
  assert.equal(dayStart(0, now), utc('2026-03-29T22:00:00Z'));
  assert.equal(dayStart(1, now), utc('2026-03-28T23:00:00Z'));
  assert.equal(monthStart(0, now), utc('2026-02-28T23:00:00Z'));
  assert.equal(monthStart(1, utc('2026-03-31T12:00:00Z')), utc('2026-01-31T23:00:00Z'));
});

test('a zone is mentioned only where the browser shows another time', () => {
  setZone('UTC');
  assert.equal(foreignZone(), new Date().getTimezoneOffset() === 0 ? null : 'UTC');
  setZone('Pacific/Kiritimati');
  assert.equal(foreignZone(), new Date().getTimezoneOffset() === -840 ? null : 'Pacific/Kiritimati');
});

test('the clock is that of the default factory, whatever else there is', async (t) => {
  t.mock.method(globalThis, 'fetch', async () => Response.json({
    factories: [{ slug: 'aachen', timezone: 'America/New_York', isDefault: false }, { slug: 'main', timezone: 'Europe/Berlin', isDefault: true }],
  }));
  await knowZone();
  assert.equal(zone(), 'Europe/Berlin');
});
