'use strict';
// Node-RED storage whose flows make good diffs: one pretty-printed file per tab and subflow, keys and nodes in a stable order.
//
// Flows are read from and written to the flows folder. Everything that is not for the repository (encrypted credentials, editor
// settings, sessions, the library) stays in the user folder.

const crypto = require('node:crypto');
const fs = require('node:fs/promises');
const path = require('node:path');

const GLOBAL_FILE = '000-globals.json';
const SEEDED_FILE = '.seeded';
const ORDER_STEP = 10;
const FIRST_KEYS = ['id', 'type', 'z', 'g', 'name', 'label'];
const LAST_KEYS = ['x', 'y', 'w', 'h', 'wires'];

/**
 * Storage API for settings.storageModule.
 * @param {{flowsDir: string, seedDir?: string, examplesDir?: string, loginMark?: string}} options  flowsDir follows the flows of seedDir where
 *   nobody edited them; the editor's sessions are kept only as long as loginMark is the same: a new password ends them
 */
function createStorage({ flowsDir, seedDir, examplesDir, loginMark }) {
  let userDir;
  // File name → content as it lies on disk, so that a deploy writes only what it changed.
  const written = new Map();
  // Container id (tab or subflow, '' for globals) → {file, order: [node ids]}.
  let layout = new Map();
  let saving = Promise.resolve();

  async function loadFlows() {
    await fs.mkdir(flowsDir, { recursive: true });
    if (seedDir && await isSeeded(flowsDir)) await seedFlows(seedDir, flowsDir);
    const names = await flowFiles(flowsDir);
    const flows = [];
    written.clear();
    layout = new Map();
    for (const name of names) {
      const text = await fs.readFile(path.join(flowsDir, name), 'utf8');
      let nodes;
      try {
        nodes = JSON.parse(text);
      } catch (error) {
        throw new Error(`${path.join(flowsDir, name)} is not valid JSON (${error.message}); restore it from version control`);
      }
      written.set(name, text);
      layout.set(name === GLOBAL_FILE ? '' : nodes[0]?.id, { file: name, order: nodes.map(({ id }) => id) });
      flows.push(...nodes);
    }
    return flows;
  }

  async function saveFlows(flows) {
    const files = splitFlows(flows, layout);
    await fs.mkdir(flowsDir, { recursive: true });
    for (const { file, text } of files.values()) {
      if (written.get(file) === text) continue;
      await writeAtomically(path.join(flowsDir, file), text);
      written.set(file, text);
    }
    const kept = new Set(Array.from(files.values(), ({ file }) => file));
    for (const file of written.keys()) {
      if (kept.has(file)) continue;
      await fs.rm(path.join(flowsDir, file), { force: true });
      written.delete(file);
    }
    layout = files;
  }

  const inUserDir = (name) => path.join(userDir, name);
  const librariesDir = (type) => path.join(userDir, 'lib', type);

  return {
    async init(settings) {
      userDir = settings.userDir;
      await fs.mkdir(userDir, { recursive: true, mode: 0o700 });
      // Node-RED looks for a package file here even when nothing may be installed.
      await fs.writeFile(inUserDir('package.json'), '{ "name": "enms-nodered-state", "private": true }\n');
    },
    getFlows: loadFlows,
    saveFlows(flows) {
      saving = saving.catch(() => {}).then(() => saveFlows(flows));
      return saving;
    },
    getCredentials: () => readJson(inUserDir('credentials.json')),
    saveCredentials: (credentials) => writeJson(inUserDir('credentials.json'), credentials),
    getSettings: () => readJson(inUserDir('runtime.json')),
    saveSettings: (settings) => writeJson(inUserDir('runtime.json'), settings),
    async getSessions() {
      const kept = await readJson(inUserDir('sessions.json'));
      return kept.loginMark === loginMark ? kept.sessions ?? {} : {};
    },
    saveSessions: (sessions) => writeJson(inUserDir('sessions.json'), { loginMark, sessions }),
    async getLibraryEntry(type, name) {
      const own = await readLibrary(path.join(librariesDir(type), name));
      if (type !== 'flows' || !examplesDir || typeof own === 'string') return own ?? [];
      // The examples stand beside what the operator saved.
      const examples = await readLibrary(path.join(examplesDir, name));
      return typeof examples === 'string' ? examples : [...(own ?? []), ...(examples ?? [])];
    },
    async saveLibraryEntry(type, name, meta, body) {
      const target = path.join(librariesDir(type), name);
      await fs.mkdir(path.dirname(target), { recursive: true });
      await writeAtomically(target, body);
    },
  };
}

/**
 * Brings the flows of this version into a folder of the operator's own: what is new comes, what nobody touched follows the version,
 * what was edited or removed stays so. The file .seeded remembers the hash of each flow as it was shipped.
 */
async function seedFlows(seedDir, flowsDir) {
  const record = path.join(flowsDir, SEEDED_FILE);
  const seeded = await readJson(record);
  const shipped = await readAll(seedDir);
  const present = await readAll(flowsDir);
  for (const name of new Set([...shipped.keys(), ...Object.keys(seeded)])) {
    const untouched = present.has(name) && hash(present.get(name)) === seeded[name];
    const isNew = !present.has(name) && !(name in seeded);
    if (shipped.has(name) && (untouched || isNew)) {
      await writeAtomically(path.join(flowsDir, name), shipped.get(name));
      seeded[name] = hash(shipped.get(name));
    } else if (untouched) {
      await fs.rm(path.join(flowsDir, name));
      delete seeded[name];
    }
  }
  await writeJson(record, seeded);
}

/** A folder with flows and without a record is somebody's own: nothing comes into it by itself. */
const isSeeded = async (flowsDir) => (await fs.stat(path.join(flowsDir, SEEDED_FILE)).catch(() => null)) !== null || (await flowFiles(flowsDir)).length === 0;

async function readAll(folder) {
  const names = await flowFiles(folder);
  return new Map(await Promise.all(names.map(async (name) => [name, await fs.readFile(path.join(folder, name), 'utf8')])));
}

const hash = (text) => crypto.createHash('sha256').update(text).digest('hex');

/**
 * The files that hold these flows: Map of container id → {file, order, text}. `before` is the layout on disk: nodes keep their
 * place in a file, new ones follow; files keep their name while the order of the tabs and the labels allow it.
 */
function splitFlows(flows, before) {
  const containers = ['tab', 'subflow'].flatMap((wanted) => flows.filter(({ type }) => type === wanted));
  const members = new Map([['', []], ...containers.map(({ id }) => [id, []])]);
  for (const node of flows) {
    const home = node.type === 'tab' || node.type === 'subflow' ? node.id : node.z || '';
    (members.get(home) ?? members.get('')).push(node);
  }
  const files = new Map();
  const add = (id, file) => {
    const place = new Map((before.get(id)?.order ?? []).map((nodeId, index) => [nodeId, index]));
    const nodes = members.get(id).slice().sort((a, b) => (place.get(a.id) ?? Infinity) - (place.get(b.id) ?? Infinity) || 0);
    // The container leads its file; sort is stable, so that new nodes stay as the editor ordered them.
    const sorted = [...nodes.filter((node) => node.id === id), ...nodes.filter((node) => node.id !== id)];
    files.set(id, { file, order: sorted.map((node) => node.id), text: formatNodes(sorted) });
  };
  if (members.get('').length > 0) add('', GLOBAL_FILE);
  const numbers = orderNumbers(containers.map(({ id }) => numberOf(before.get(id)?.file)));
  const taken = new Set();
  containers.forEach(({ id, type, label, name }, index) => {
    const title = slug((type === 'tab' ? label : name) || type);
    let file = `${String(numbers[index]).padStart(3, '0')}-${title}.json`;
    if (taken.has(file)) file = file.replace('.json', `-${id}.json`);
    taken.add(file);
    add(id, file);
  });
  return files;
}

/** Ascending numbers for the files: those known stay where they ascend, the others are put between or behind. */
function orderNumbers(known) {
  const numbers = [];
  let last = 0;
  for (let i = 0; i < known.length; i++) {
    let number = known[i];
    if (number === null || number <= last) {
      const following = known.slice(i + 1).find((candidate) => candidate !== null && candidate > last + 1);
      number = following === undefined ? (Math.floor(last / ORDER_STEP) + 1) * ORDER_STEP : last + Math.max(1, Math.floor((following - last) / 2));
    }
    numbers.push(number);
    last = number;
  }
  return numbers;
}

const numberOf = (file) => (file ? Number.parseInt(file, 10) : null);
const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'flow';

const flowFiles = async (folder) => (await fs.readdir(folder)).filter((name) => name.endsWith('.json')).sort((a, b) => numberOf(a) - numberOf(b));

/** A file's text, a folder's entries as Node-RED lists them, or null when there is neither. */
async function readLibrary(target) {
  const stat = await fs.stat(target).catch(() => null);
  if (!stat) return null;
  if (stat.isFile()) return fs.readFile(target, 'utf8');
  const entries = await fs.readdir(target, { withFileTypes: true });
  return entries.map((entry) => (entry.isDirectory() ? entry.name : { fn: entry.name }));
}

/** Nodes as JSON with one key per line; wires and other flat lists stay on one line. */
function formatNodes(nodes) {
  return `[\n${nodes.map((node) => formatNode(node)).join(',\n')}\n]\n`;
}

function formatNode(node) {
  const lines = orderedKeys(node).map((key) => `    ${JSON.stringify(key)}: ${formatValue(node[key], key)}`);
  return `  {\n${lines.join(',\n')}\n  }`;
}

function orderedKeys(node) {
  const keys = Object.keys(node).filter((key) => node[key] !== undefined);
  const middle = keys.filter((key) => !FIRST_KEYS.includes(key) && !LAST_KEYS.includes(key)).sort();
  return [...FIRST_KEYS.filter((key) => keys.includes(key)), ...middle, ...LAST_KEYS.filter((key) => keys.includes(key))];
}

function formatValue(value, key) {
  if (!Array.isArray(value) || value.length === 0) return JSON.stringify(value);
  // One element a line where elements are lists or objects (outputs, rules, environment variables).
  if (key === 'wires' || typeof value[0] === 'object') return `[\n${value.map((item) => `      ${JSON.stringify(item)}`).join(',\n')}\n    ]`;
  return JSON.stringify(value);
}

async function readJson(file) {
  try {
    return JSON.parse(await fs.readFile(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    if (error instanceof SyntaxError) throw new Error(`${file} is damaged (${error.message}); remove it to start with an empty one`);
    throw error;
  }
}

const writeJson = (file, value) => writeAtomically(file, JSON.stringify(value, null, 2) + '\n', 0o600);

async function writeAtomically(file, text, mode = 0o644) {
  const handle = await fs.open(`${file}.new`, 'w', mode);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await fs.rename(`${file}.new`, file);
}

module.exports = { createStorage, splitFlows, orderNumbers };
