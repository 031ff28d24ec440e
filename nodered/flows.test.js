'use strict';
// The committed flows: readable, free of secrets and hosts, and stored as the editor would store them.
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { createStorage } = require('./storage');

const FLOWS_DIR = path.join(__dirname, 'flows');
const load = () => createStorage({ flowsDir: FLOWS_DIR }).getFlows();
const isNode = ({ type, z }) => z && type !== 'group';
const TABS = ['Master Ingestion', 'Ingest Shelly MQTT', 'Ingest Tasmota', 'ESP Sensors', 'Historical Enrichment', 'Analysis API', 'Devices API',
  'Live Predictor', 'Housekeeping'];
const SUBFLOWS = ['Job Energy', 'Final Energy', 'Operator Only', 'Record Error'];

test('the tabs and subflows are there, each in its file', async () => {
  const flows = await load();
  assert.deepEqual(flows.filter(({ type }) => type === 'tab').map(({ label }) => label), TABS);
  assert.deepEqual(flows.filter(({ type }) => type === 'subflow').map(({ name }) => name), SUBFLOWS);
  assert.equal(fs.readdirSync(FLOWS_DIR).length, TABS.length + SUBFLOWS.length);
});

test('the storage writes back what it read, byte for byte', async (t) => {
  const copy = fs.mkdtempSync(path.join(os.tmpdir(), 'flows-'));
  t.after(() => fs.rmSync(copy, { recursive: true, force: true }));
  fs.cpSync(FLOWS_DIR, copy, { recursive: true });
  const storage = createStorage({ flowsDir: copy });
  const flows = await storage.getFlows();
  // Coming from the editor, keys and nodes have another order.
  await storage.saveFlows(flows.map((node) => Object.fromEntries(Object.entries(node).reverse())));
  for (const name of fs.readdirSync(FLOWS_DIR)) {
    assert.equal(fs.readFileSync(path.join(copy, name), 'utf8'), fs.readFileSync(path.join(FLOWS_DIR, name), 'utf8'), name);
  }
});

test('every node has a name, belongs to a group and is connected; function nodes are short', async () => {
  const flows = await load();
  const targets = new Set(flows.flatMap((node) => [...(node.wires ?? []).flat(), ...(node.in ?? []).flatMap(({ wires }) => wires.map(({ id }) => id))]));
  for (const node of flows.filter(isNode)) {
    const where = `${node.type} ${node.name} (${node.id})`;
    assert.ok(node.name, `${where} has no name`);
    if (node.type === 'comment') continue;
    assert.ok(node.g, `${where} is in no group`);
    assert.ok(targets.has(node.id) || (node.wires ?? []).flat().length > 0, `${where} is not connected`);
    if (node.type === 'function') assert.ok(node.func.split('\n').length <= 6, `${where} has logic that belongs into lib/`);
  }
});

test('every tab has a comment that explains it and a catch node for its errors', async () => {
  const flows = await load();
  for (const tab of flows.filter(({ type }) => type === 'tab')) {
    const own = flows.filter(({ z }) => z === tab.id);
    assert.ok(own.some(({ type, info }) => type === 'comment' && info.length > 80), `${tab.label} has no comment`);
    assert.ok(own.some(({ type, wires }) => type === 'catch' && wires.flat().length > 0), `${tab.label} loses its errors`);
    assert.ok(tab.info, `${tab.label} has no description`);
  }
});

test('a statement calls one writing function: two in one transaction would take their locks in another order', async () => {
  const flows = await load();
  const writing = /\b(ingest|record|refresh|learn|finalize|reap|apply|device_save|device_remove|meter_assign)\w*\(/g;
  for (const { name, statement } of flows.filter(({ type }) => type === 'postgres')) {
    assert.ok((statement.match(writing) ?? []).length <= 1, `${name}: ${statement}`);
  }
});

test('ids are unique, wires lead to nodes of the same tab, links to nodes that exist', async () => {
  const flows = await load();
  const byId = new Map(flows.map((node) => [node.id, node]));
  assert.equal(byId.size, flows.length);
  for (const node of flows) {
    for (const target of (node.wires ?? []).flat()) assert.equal(byId.get(target)?.z, node.z, `${node.name} → ${target}`);
    for (const target of node.links ?? []) assert.ok(byId.has(target), `${node.name} → ${target}`);
  }
});

test('a client id names one broker session, an HTTP endpoint one node', async () => {
  const flows = await load();
  for (const [type, key] of [['mqtt-ingest', ({ clientId }) => clientId], ['http in', ({ method, url }) => `${method} ${url}`]]) {
    const keys = flows.filter((node) => node.type === type).map(key);
    assert.equal(new Set(keys).size, keys.length);
  }
});

test('no host, address or credential is in a flow', async () => {
  for (const name of fs.readdirSync(FLOWS_DIR)) {
    const text = fs.readFileSync(path.join(FLOWS_DIR, name), 'utf8');
    assert.doesNotMatch(text, /https?:\/\/|\b\d{1,3}(\.\d{1,3}){3}\b|localhost|"credentials"|password"\s*:/i, name);
  }
});

test('nrlint has nothing to say', async (t) => {
  let nrlintDir;
  try {
    nrlintDir = path.dirname(require.resolve('nrlint/package.json'));
  } catch {
    return t.skip('nrlint is a development dependency: npm ci without --omit=dev');
  }
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'nrlint-')), 'flows.json');
  t.after(() => fs.rmSync(path.dirname(file), { recursive: true, force: true }));
  fs.writeFileSync(file, JSON.stringify(await load()));
  const output = execFileSync(process.execPath, [path.join(nrlintDir, 'bin', 'nrlint.js'), '--config', path.join(__dirname, '.nrlintrc.js'), file], { encoding: 'utf8' });
  assert.match(output, /✖ 0 problems|^\s*$/, output);
});
