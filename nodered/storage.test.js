'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { createStorage, orderNumbers } = require('./storage');
const { temporaryFolder } = require('./lib/testing');

/** A storage in a folder of its own; files() are the flows as they are on disk. */
async function setup(t) {
  const folder = temporaryFolder(t, 'storage');
  const flowsDir = path.join(folder, 'flows');
  const storage = createStorage({ flowsDir });
  await storage.init({ userDir: path.join(folder, 'user') });
  const files = () => {
    const names = fs.readdirSync(flowsDir).sort();
    return Object.fromEntries(names.map((name) => [name, fs.readFileSync(path.join(flowsDir, name), 'utf8')]));
  };
  return { storage, files, flowsDir, folder };
}

const FLOWS = [
  { id: 't1', type: 'tab', label: 'First Tab', info: '' },
  { id: 't2', type: 'tab', label: 'Second: "Tab"', info: '' },
  { id: 's1', type: 'subflow', name: 'Shared', in: [{ x: 1, y: 2, wires: [{ id: 'n4' }] }] },
  { id: 'n1', type: 'inject', z: 't1', name: 'tick', x: 10, y: 20, wires: [['n2', 'n3'], []] },
  { id: 'n2', type: 'debug', z: 't1', name: 'a', x: 30, y: 20, wires: [] },
  { id: 'n3', type: 'debug', z: 't2', name: 'b', x: 30, y: 40, wires: [] },
  { id: 'n4', type: 'debug', z: 's1', name: 'c', x: 30, y: 40, wires: [] },
  { id: 'c1', type: 'global-config', env: [] },
];
/** @returns {any[]} */
const copy = () => structuredClone(FLOWS);
const nodeOf = (flows, wanted) => flows.find(({ id }) => id === wanted);
const without = (flows, ...tabs) => flows.filter(({ id, z }) => !tabs.includes(id) && !tabs.includes(z));
const lineChanges = (before, after) => {
  const left = before.split('\n');
  return after.split('\n').filter((line) => !left.includes(line)).length;
};

test('every tab and subflow is a file of its own, and loads as it was', async (t) => {
  const { storage, files } = await setup(t);
  await storage.saveFlows(copy());
  assert.deepEqual(Object.keys(files()), [
    '000-globals.json', '010-first-tab.json', '020-second-tab.json', '030-shared.json',
  ]);
  const byId = (a, b) => (a.id < b.id ? -1 : 1);
  assert.deepEqual((await storage.getFlows()).sort(byId), copy().sort(byId));
});

test('loading and saving again changes no byte and writes no file', async (t) => {
  const { storage, files, flowsDir } = await setup(t);
  await storage.saveFlows(copy());
  const inodes = () => fs.readdirSync(flowsDir).map((name) => fs.statSync(path.join(flowsDir, name)).ino);
  const before = [files(), inodes()];
  await storage.saveFlows(await storage.getFlows());
  assert.deepEqual([files(), inodes()], before);
});

test('moving one node changes its coordinates\' lines only, in any order of nodes and keys', async (t) => {
  const { storage, files } = await setup(t);
  await storage.saveFlows(copy());
  await storage.getFlows();
  const before = files();
  const edited = copy().reverse().map((node) => Object.fromEntries(Object.entries(node).reverse()));
  edited.sort((a, b) => (a.type === 'tab' && b.type === 'tab' ? (a.id < b.id ? -1 : 1) : 0));
  nodeOf(edited, 'n1').x = 170;
  await storage.saveFlows(/** @type {any[]} */ (edited));
  const after = files();
  assert.deepEqual(Object.keys(after), Object.keys(before));
  const changed = Object.keys(after).filter((name) => after[name] !== before[name]);
  assert.deepEqual(changed, ['010-first-tab.json']);
  assert.equal(lineChanges(before['010-first-tab.json'], after['010-first-tab.json']), 1);
});

test('a new node is added behind the others', async (t) => {
  const { storage, files } = await setup(t);
  await storage.saveFlows(copy());
  const before = files()['010-first-tab.json'];
  await storage.saveFlows([{ id: 'n0', type: 'debug', z: 't1', name: 'new', x: 1, y: 1, wires: [] }, ...copy()]);
  const after = files()['010-first-tab.json'];
  assert.ok(after.startsWith(before.slice(0, before.lastIndexOf('}'))));
  assert.ok(lineChanges(before, after) <= 8);
});

test('a deleted tab takes its file along, a renamed one its name, an inserted one finds its place', async (t) => {
  const { storage, files } = await setup(t);
  const saved = async (flows) => {
    await storage.saveFlows(flows);
    return Object.keys(files());
  };
  await saved(copy());
  const flows = copy();
  flows[1].label = 'Other';
  assert.deepEqual(await saved(flows), ['000-globals.json', '010-first-tab.json', '020-other.json', '030-shared.json']);
  flows.splice(1, 0, { id: 't9', type: 'tab', label: 'Between' });
  assert.deepEqual(await saved(flows), [
    '000-globals.json', '010-first-tab.json', '015-between.json', '020-other.json', '030-shared.json',
  ]);
  assert.deepEqual(await saved(without(flows, 't1')), [
    '000-globals.json', '015-between.json', '020-other.json', '030-shared.json',
  ]);
});

test('a folder of the operator follows the version where nobody edited it', async (t) => {
  const { storage, files, flowsDir, folder } = await setup(t);
  const shipped = copy();
  await storage.saveFlows(shipped);
  const volume = path.join(folder, 'volume');
  const start = async () => {
    const own = createStorage({ flowsDir: volume, seedDir: flowsDir });
    return { own, flows: await own.getFlows() };
  };

  // The first start takes all of them; then the operator changes one tab and removes another.
  const { own, flows } = await start();
  assert.equal(flows.length, FLOWS.length);
  const edited = without(copy(), 't2');
  nodeOf(edited, 'n1').name = 'tock';
  await own.saveFlows(edited);

  // The next version changes the edited tab and the subflow, and brings a tab.
  nodeOf(shipped, 'n1').name = 'tick tick';
  nodeOf(shipped, 'n4').name = 'better';
  shipped.push({ id: 't3', type: 'tab', label: 'Third', info: '' });
  await storage.saveFlows(shipped);
  const next = (await start()).flows;
  assert.equal(nodeOf(next, 'n1').name, 'tock');
  assert.equal(nodeOf(next, 'n4').name, 'better');
  assert.equal(nodeOf(next, 't3').label, 'Third');
  assert.equal(nodeOf(next, 't2'), undefined);

  // What a version no longer has goes, unless it was edited.
  await storage.saveFlows(without(shipped, 't1', 't3'));
  const last = (await start()).flows.map(({ id }) => id);
  assert.ok(last.includes('t1') && !last.includes('t3') && !last.includes('t2'));
  assert.equal(Object.keys(files()).length, 3);
});

test('a folder with flows and without a record is left alone', async (t) => {
  const { storage, flowsDir, folder } = await setup(t);
  await storage.saveFlows(copy());
  const volume = path.join(folder, 'volume');
  fs.mkdirSync(volume);
  fs.writeFileSync(path.join(volume, '010-mine.json'), '[{"id":"m","type":"tab"}]');
  assert.equal((await createStorage({ flowsDir: volume, seedDir: flowsDir }).getFlows()).length, 1);
  assert.deepEqual(fs.readdirSync(volume), ['010-mine.json']);
});

test('order numbers ascend and move as few files as possible', () => {
  assert.deepEqual(orderNumbers([null, null]), [10, 20]);
  assert.deepEqual(orderNumbers([10, null, 20]), [10, 15, 20]);
  assert.deepEqual(orderNumbers([20, 10]), [20, 30]);
  assert.deepEqual(orderNumbers([10, null, 11]), [10, 20, 30]);
});

test('credentials, settings and sessions go to the user folder, readable by the owner alone', async (t) => {
  const { storage, folder, files } = await setup(t);
  assert.deepEqual(await storage.getCredentials(), {});
  await storage.saveFlows(copy());
  await storage.saveCredentials({ $: 'encrypted' });
  assert.deepEqual(await storage.getCredentials(), { $: 'encrypted' });
  assert.equal(fs.statSync(path.join(folder, 'user', 'credentials.json')).mode & 0o777, 0o600);
  assert.ok(Object.values(files()).every((text) => !text.includes('encrypted')));
});

test('the editor\'s sessions survive a restart, but no change of the login', async (t) => {
  const { flowsDir, folder } = await setup(t);
  const start = async (loginMark) => {
    const storage = createStorage({ flowsDir, loginMark });
    await storage.init({ userDir: path.join(folder, 'user') });
    return storage;
  };
  const sessions = { token: { user: 'operator' } };
  assert.deepEqual(await (await start('one')).getSessions(), {});
  await (await start('one')).saveSessions(sessions);
  assert.deepEqual(await (await start('one')).getSessions(), sessions);
  assert.deepEqual(await (await start('two')).getSessions(), {});
  assert.equal(fs.statSync(path.join(folder, 'user', 'sessions.json')).mode & 0o777, 0o600);
});

test('a damaged flow file is named, with the remedy', async (t) => {
  const { storage, flowsDir } = await setup(t);
  fs.mkdirSync(flowsDir);
  fs.writeFileSync(path.join(flowsDir, '0010-broken.json'), '[{');
  await assert.rejects(storage.getFlows(), /010-broken\.json is not valid JSON .* restore it/);
});

test('the library lists the examples with what the operator saved', async (t) => {
  const folder = temporaryFolder(t, 'library');
  const examplesDir = path.join(__dirname, 'examples');
  const storage = createStorage({ flowsDir: path.join(folder, 'flows'), examplesDir });
  await storage.init({ userDir: path.join(folder, 'user') });
  await storage.saveLibraryEntry('flows', 'own.json', {}, '[]');
  assert.deepEqual(await storage.getLibraryEntry('flows', '/'), [{ fn: 'own.json' }, { fn: 'python-function.json' }]);
  assert.equal(await storage.getLibraryEntry('flows', 'own.json'), '[]');
  const example = JSON.parse(String(await storage.getLibraryEntry('flows', 'python-function.json')));
  assert.ok(example.some(({ type }) => type === 'python-function'));
  assert.deepEqual(await storage.getLibraryEntry('functions', '/'), []);
});
