'use strict';
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { createStorage, orderNumbers } = require('./storage');

async function setup(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'storage-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const flowsDir = path.join(folder, 'flows');
  const storage = createStorage({ flowsDir });
  await storage.init({ userDir: path.join(folder, 'user') });
  const files = () => Object.fromEntries(fs.readdirSync(flowsDir).sort().map((name) => [name, fs.readFileSync(path.join(flowsDir, name), 'utf8')]));
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
const copy = (flows) => structuredClone(flows);
const lineChanges = (before, after) => {
  const left = before.split('\n');
  const right = after.split('\n');
  return right.filter((line) => !left.includes(line)).length;
};

test('every tab and subflow is a file of its own, and loads as it was', async (t) => {
  const { storage, files } = await setup(t);
  await storage.saveFlows(copy(FLOWS));
  assert.deepEqual(Object.keys(files()), ['000-globals.json', '010-first-tab.json', '020-second-tab.json', '030-shared.json']);
  const byId = (a, b) => (a.id < b.id ? -1 : 1);
  assert.deepEqual((await storage.getFlows()).sort(byId), copy(FLOWS).sort(byId));
});

test('loading and saving again changes no byte and writes no file', async (t) => {
  const { storage, files, flowsDir } = await setup(t);
  await storage.saveFlows(copy(FLOWS));
  const before = files();
  const times = fs.readdirSync(flowsDir).map((name) => fs.statSync(path.join(flowsDir, name)).ino);
  await storage.saveFlows(await storage.getFlows());
  assert.deepEqual(files(), before);
  assert.deepEqual(fs.readdirSync(flowsDir).map((name) => fs.statSync(path.join(flowsDir, name)).ino), times);
});

test('moving one node changes its coordinates\' lines only, in any order of nodes and keys', async (t) => {
  const { storage, files } = await setup(t);
  await storage.saveFlows(copy(FLOWS));
  await storage.getFlows();
  const before = files();
  const edited = copy(FLOWS).reverse().map((node) => Object.fromEntries(Object.entries(node).reverse()));
  edited.sort((a, b) => (a.type === 'tab' && b.type === 'tab' ? (a.id < b.id ? -1 : 1) : 0));
  edited.find(({ id }) => id === 'n1').x = 170;
  await storage.saveFlows(edited);
  const after = files();
  assert.deepEqual(Object.keys(after), Object.keys(before));
  const changed = Object.keys(after).filter((name) => after[name] !== before[name]);
  assert.deepEqual(changed.filter((name) => name !== '010-first-tab.json'), []);
  assert.equal(lineChanges(before['010-first-tab.json'], after['010-first-tab.json']), 1);
});

test('a new node is added behind the others', async (t) => {
  const { storage, files } = await setup(t);
  await storage.saveFlows(copy(FLOWS));
  const before = files()['010-first-tab.json'];
  await storage.saveFlows([{ id: 'n0', type: 'debug', z: 't1', name: 'new', x: 1, y: 1, wires: [] }, ...copy(FLOWS)]);
  const after = files()['010-first-tab.json'];
  assert.ok(after.startsWith(before.slice(0, before.lastIndexOf('}'))));
  assert.ok(lineChanges(before, after) <= 8);
});

test('a deleted tab takes its file along, a renamed one its name, an inserted one finds its place', async (t) => {
  const { storage, files } = await setup(t);
  await storage.saveFlows(copy(FLOWS));
  const renamed = copy(FLOWS);
  renamed[1].label = 'Other';
  await storage.saveFlows(renamed);
  assert.deepEqual(Object.keys(files()), ['000-globals.json', '010-first-tab.json', '020-other.json', '030-shared.json']);
  renamed.splice(1, 0, { id: 't9', type: 'tab', label: 'Between' });
  await storage.saveFlows(renamed);
  assert.deepEqual(Object.keys(files()), ['000-globals.json', '010-first-tab.json', '015-between.json', '020-other.json', '030-shared.json']);
  await storage.saveFlows(renamed.filter(({ id, z }) => id !== 't1' && z !== 't1'));
  assert.deepEqual(Object.keys(files()), ['000-globals.json', '015-between.json', '020-other.json', '030-shared.json']);
});

test('a folder of the operator follows the version where nobody edited it', async (t) => {
  const { storage, files, flowsDir, folder } = await setup(t);
  const shipped = copy(FLOWS);
  await storage.saveFlows(shipped);
  const volume = path.join(folder, 'volume');
  const start = async () => {
    const own = createStorage({ flowsDir: volume, seedDir: flowsDir });
    return { own, flows: await own.getFlows() };
  };

  // The first start takes all of them; then the operator changes one tab and removes another.
  const { own, flows } = await start();
  assert.equal(flows.length, FLOWS.length);
  const edited = copy(FLOWS).filter(({ id, z }) => id !== 't2' && z !== 't2');
  edited.find(({ id }) => id === 'n1').name = 'tock';
  await own.saveFlows(edited);

  // The next version changes the edited tab and the subflow, and brings a tab.
  shipped.find(({ id }) => id === 'n1').name = 'tick tick';
  shipped.find(({ id }) => id === 'n4').name = 'better';
  shipped.push({ id: 't3', type: 'tab', label: 'Third', info: '' });
  await storage.saveFlows(shipped);
  const names = (await start()).flows.map(({ id, name, label }) => [id, name ?? label]);
  const known = new Map(names);
  assert.equal(known.get('n1'), 'tock');
  assert.equal(known.get('n4'), 'better');
  assert.equal(known.get('t3'), 'Third');
  assert.ok(!known.has('t2'));

  // What a version no longer has goes, unless it was edited.
  await storage.saveFlows(shipped.filter(({ id, z }) => ![id, z].includes('t1') && ![id, z].includes('t3')));
  const last = new Set((await start()).flows.map(({ id }) => id));
  assert.ok(last.has('t1') && !last.has('t3') && !last.has('t2'));
  assert.equal(Object.keys(files()).length, 3);
});

test('a folder with flows and without a record is left alone', async (t) => {
  const { storage, flowsDir, folder } = await setup(t);
  await storage.saveFlows(copy(FLOWS));
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
  const { storage, folder, flowsDir } = await setup(t);
  assert.deepEqual(await storage.getCredentials(), {});
  await storage.saveFlows(copy(FLOWS));
  await storage.saveCredentials({ $: 'encrypted' });
  assert.deepEqual(await storage.getCredentials(), { $: 'encrypted' });
  assert.equal(fs.statSync(path.join(folder, 'user', 'credentials.json')).mode & 0o777, 0o600);
  assert.ok(fs.readdirSync(flowsDir).every((name) => !fs.readFileSync(path.join(flowsDir, name), 'utf8').includes('encrypted')));
});

test('the editor\'s sessions survive a restart, but no change of the login', async (t) => {
  const { flowsDir, folder } = await setup(t);
  const start = async (loginMark) => {
    const storage = createStorage({ flowsDir, loginMark });
    await storage.init({ userDir: path.join(folder, 'user') });
    return storage;
  };
  assert.deepEqual(await (await start('one')).getSessions(), {});
  await (await start('one')).saveSessions({ token: { user: 'operator' } });
  assert.deepEqual(await (await start('one')).getSessions(), { token: { user: 'operator' } });
  assert.deepEqual(await (await start('two')).getSessions(), {});
  assert.equal(fs.statSync(path.join(folder, 'user', 'sessions.json')).mode & 0o777, 0o600);
});

test('a damaged flow file is named, with the remedy', async (t) => {
  const { storage, flowsDir } = await setup(t);
  fs.mkdirSync(flowsDir);
  fs.writeFileSync(path.join(flowsDir, '0010-broken.json'), '[{');
  await assert.rejects(storage.getFlows(), /010-broken\.json is not valid JSON .* restore it/);
});

test('the examples stand in the library beside what the operator saved', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'library-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const storage = createStorage({ flowsDir: path.join(folder, 'flows'), examplesDir: path.join(__dirname, 'examples') });
  await storage.init({ userDir: path.join(folder, 'user') });
  await storage.saveLibraryEntry('flows', 'own.json', {}, '[]');
  assert.deepEqual(await storage.getLibraryEntry('flows', '/'), [{ fn: 'own.json' }, { fn: 'python-function.json' }]);
  assert.equal(await storage.getLibraryEntry('flows', 'own.json'), '[]');
  const example = JSON.parse(await storage.getLibraryEntry('flows', 'python-function.json'));
  assert.ok(example.some(({ type }) => type === 'python-function'));
  assert.deepEqual(await storage.getLibraryEntry('functions', '/'), []);
});
