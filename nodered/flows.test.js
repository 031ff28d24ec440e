'use strict';
// The committed flows: readable, free of secrets and hosts, and stored as the editor would store them.
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { createStorage } = require('./storage');
const { subscriptions } = require('./lib/routes');
const { temporaryFolder } = require('./lib/testing');

const FLOWS_DIR = path.join(__dirname, 'flows');
const load = () => createStorage({ flowsDir: FLOWS_DIR }).getFlows();
const contentIn = (folder, name) => fs.readFileSync(path.join(folder, name), 'utf8');
const isNode = (node) => node.z && node.type !== 'group';
const TABS = [
  'Master Ingestion', 'Ingest Shelly MQTT', 'Ingest Tasmota', 'ESP Sensors', 'Historical Enrichment', 'Analysis API',
  'Devices API', 'Live Predictor', 'Housekeeping',
];
const SUBFLOWS = ['Job Energy', 'Final Energy', 'Operator Only', 'Record Error'];

test('the tabs and subflows are there, each in its file', async () => {
  const flows = await load();
  assert.deepEqual(flows.filter(({ type }) => type === 'tab').map(({ label }) => label), TABS);
  assert.deepEqual(flows.filter(({ type }) => type === 'subflow').map(({ name }) => name), SUBFLOWS);
  assert.equal(fs.readdirSync(FLOWS_DIR).length, TABS.length + SUBFLOWS.length);
});

test('the storage writes back what it read, byte for byte', async (t) => {
  const copy = temporaryFolder(t, 'flows');
  fs.cpSync(FLOWS_DIR, copy, { recursive: true });
  const storage = createStorage({ flowsDir: copy });
  const flows = await storage.getFlows();
  // Coming from the editor, keys and nodes have another order.
  const reversed = (node) => /** @type {typeof node} */ (Object.fromEntries(Object.entries(node).reverse()));
  await storage.saveFlows(flows.map(reversed));
  for (const name of fs.readdirSync(FLOWS_DIR)) assert.equal(contentIn(copy, name), contentIn(FLOWS_DIR, name), name);
});

test('every node has a name, belongs to a group and is connected; function nodes are short', async () => {
  const flows = await load();
  const entriesOf = (subflow) => (subflow.in ?? []).flatMap(({ wires }) => wires.map(({ id }) => id));
  const targetsOf = (node) => [...(node.wires ?? []).flat(), ...entriesOf(node)];
  const targets = new Set(flows.flatMap(targetsOf));
  for (const node of flows.filter(isNode)) {
    const where = `${node.type} ${node.name} (${node.id})`;
    assert.ok(node.name, `${where} has no name`);
    if (node.type === 'comment') continue;
    assert.ok(node.g, `${where} is in no group`);
    assert.ok(targets.has(node.id) || (node.wires ?? []).flat().length > 0, `${where} is not connected`);
    const isShort = node.type !== 'function' || node.func.split('\n').length <= 6;
    assert.ok(isShort, `${where} has logic that belongs into lib/`);
  }
});

test('every tab has a comment that explains it and a catch node for its errors', async () => {
  const flows = await load();
  for (const tab of flows.filter(({ type }) => type === 'tab')) {
    const own = flows.filter(({ z }) => z === tab.id);
    assert.ok(own.some(({ type, info }) => type === 'comment' && info.length > 80), `${tab.label} has no comment`);
    const catches = (node) => node.type === 'catch' && node.wires.flat().length > 0;
    assert.ok(own.some(catches), `${tab.label} loses its errors`);
    assert.ok(tab.info, `${tab.label} has no description`);
  }
});

test('an ingest node subscribes to what its parser understands', async () => {
  const flows = await load();
  const nodes = flows.filter(({ type }) => type === 'mqtt-ingest');
  const topics = Object.fromEntries(nodes.map((node) => [node.clientId, node.topics.split('\n')]));
  assert.deepEqual(topics, {
    'enms-shelly': subscriptions('shelly'), 'enms-tasmota': subscriptions('tasmota'),
    'enms-esp': subscriptions('esp32'),
  });
});

// Two in one transaction would take their locks in another order.
test('a statement calls one writing function', async () => {
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
    for (const target of (node.wires ?? []).flat()) {
      assert.equal(byId.get(target)?.z, node.z, `${node.name} → ${target}`);
    }
    for (const target of node.links ?? []) assert.ok(byId.has(target), `${node.name} → ${target}`);
  }
});

test('a client id names one broker session, an HTTP endpoint one node', async () => {
  const flows = await load();
  const sessions = flows.filter(({ type }) => type === 'mqtt-ingest').map(({ clientId }) => clientId);
  const endpoints = flows.filter(({ type }) => type === 'http in').map(({ method, url }) => `${method} ${url}`);
  for (const names of [sessions, endpoints]) assert.equal(new Set(names).size, names.length);
});

test('no host, address or credential is in a flow', async () => {
  const secret = /https?:\/\/|\b\d{1,3}(\.\d{1,3}){3}\b|localhost|"credentials"|password"\s*:/i;
  for (const name of fs.readdirSync(FLOWS_DIR)) assert.doesNotMatch(contentIn(FLOWS_DIR, name), secret, name);
});

test('nrlint finds nothing', async (t) => {
  let nrlint;
  try {
    nrlint = path.join(path.dirname(require.resolve('nrlint/package.json')), 'bin', 'nrlint.js');
  } catch {
    return t.skip('nrlint is a development dependency: npm ci without --omit=dev');
  }
  const file = path.join(temporaryFolder(t, 'nrlint'), 'flows.json');
  fs.writeFileSync(file, JSON.stringify(await load()));
  const command = [nrlint, '--config', path.join(__dirname, '.nrlintrc.js'), file];
  const output = execFileSync(process.execPath, command, { encoding: 'utf8' });
  assert.match(output, /✖ 0 problems|^\s*$/, output);
});
