'use strict';
// Node-RED storage whose flows make good diffs: one pretty-printed file per tab and subflow, keys and nodes in a stable
// order.
//
// Flows are read from and written to the flows folder. Everything that is not for the repository (encrypted
// credentials, editor settings, sessions, the library) stays in the user folder.

const crypto = require('node:crypto');
const fs = require('node:fs/promises');
const path = require('node:path');

const GLOBAL_FILE = '000-globals.json';
const SEEDED_FILE = '.seeded';
const ORDER_STEP = 10;
const FIRST_KEYS = ['id', 'type', 'z', 'g', 'name', 'label'];
const LAST_KEYS = ['x', 'y', 'w', 'h', 'wires'];

/**
 * A node of a flow as the editor sends it: a tab, a subflow, or what is in one (z).
 * @typedef {{id: string, type: string, z?: string, name?: string, label?: string, [key: string]: any}} StoredNode
 *
 * Where the nodes of a container are: container id (tab or subflow, '' for globals) → file and order of the nodes' ids.
 * @typedef {Map<string, {file: string, order: string[]}>} Layout
 *
 * An entry of the library: text, or a folder's subfolders and files.
 * @typedef {string | (string | {fn: string})[]} LibraryEntry
 *
 * What Node-RED asks of a storage.
 * @typedef {object} Storage
 * @property {(settings: {userDir: string}) => Promise<void>} init
 * @property {() => Promise<StoredNode[]>} getFlows
 * @property {(flows: StoredNode[]) => Promise<void>} saveFlows  one call after the other
 * @property {() => Promise<object>} getCredentials
 * @property {(credentials: object) => Promise<void>} saveCredentials
 * @property {() => Promise<object>} getSettings
 * @property {(settings: object) => Promise<void>} saveSettings
 * @property {() => Promise<object>} getSessions
 * @property {(sessions: object) => Promise<void>} saveSessions
 * @property {(type: string, name: string) => Promise<LibraryEntry>} getLibraryEntry
 * @property {(type: string, name: string, meta: object, body: string) => Promise<void>} saveLibraryEntry
 */

/**
 * Storage API for settings.storageModule.
 * @param {object} options
 * @param {string} options.flowsDir
 * @param {string} [options.seedDir]  flowsDir follows the flows in it where nobody edited them
 * @param {string} [options.examplesDir]  flows for the library
 * @param {string} [options.loginMark]  the editor's sessions are kept only as long as it is the same: a new password
 *   ends them
 * @returns {Storage}
 */
function createStorage({ flowsDir, seedDir, examplesDir, loginMark }) {
  let userDir = '';
  /** @type {Map<string, string>}  file name → content as it is on disk, so that a deploy writes only what it changed */
  const written = new Map();
  /** @type {Layout} */
  let layout = new Map();
  let saving = Promise.resolve();

  async function loadFlows() {
    await fs.mkdir(flowsDir, { recursive: true });
    if (seedDir && await isSeeded(flowsDir)) await seedFlows(seedDir, flowsDir);
    /** @type {StoredNode[]} */
    const flows = [];
    written.clear();
    layout = new Map();
    for (const [name, text] of await readAll(flowsDir)) {
      const nodes = parseFlow(path.join(flowsDir, name), text);
      written.set(name, text);
      layout.set(name === GLOBAL_FILE ? '' : nodes[0]?.id, { file: name, order: nodes.map(({ id }) => id) });
      flows.push(...nodes);
    }
    return flows;
  }

  /** @param {StoredNode[]} flows */
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

  /** @param {string} name */
  const inUserDir = (name) => path.join(userDir, name);
  /**
   * @param {string} type
   * @param {string} name
   */
  const inLibrary = (type, name) => path.join(userDir, 'lib', type, name);

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
      const own = await readLibrary(inLibrary(type, name));
      if (type !== 'flows' || !examplesDir || typeof own === 'string') return own ?? [];
      // The examples are listed next to what the operator saved.
      const examples = await readLibrary(path.join(examplesDir, name));
      return typeof examples === 'string' ? examples : [...(own ?? []), ...(examples ?? [])];
    },
    async saveLibraryEntry(type, name, _meta, body) {
      const target = inLibrary(type, name);
      await fs.mkdir(path.dirname(target), { recursive: true });
      await writeAtomically(target, body);
    },
  };
}

/**
 * @param {string} file
 * @param {string} text
 * @returns {StoredNode[]}
 */
function parseFlow(file, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${file} is not valid JSON (${error.message}); restore it from version control`, { cause: error });
  }
}

/**
 * Brings the flows of this version into a folder of the operator's own: what is new comes, what nobody touched follows
 * the version, what was edited or removed stays so. The file .seeded remembers the hash of each flow as it was shipped.
 * @param {string} seedDir
 * @param {string} flowsDir
 */
async function seedFlows(seedDir, flowsDir) {
  const record = path.join(flowsDir, SEEDED_FILE);
  /** @type {Record<string, string>} */
  const seeded = await readJson(record);
  const shipped = await readAll(seedDir);
  const present = await readAll(flowsDir);
  for (const name of new Set([...shipped.keys(), ...Object.keys(seeded)])) {
    const theirs = shipped.get(name);
    const ours = present.get(name);
    const untouched = ours !== undefined && hash(ours) === seeded[name];
    const isNew = ours === undefined && !(name in seeded);
    if (theirs !== undefined && (untouched || isNew)) {
      await writeAtomically(path.join(flowsDir, name), theirs);
      seeded[name] = hash(theirs);
    } else if (untouched) {
      await fs.rm(path.join(flowsDir, name));
      delete seeded[name];
    }
  }
  await writeJson(record, seeded);
}

/**
 * A folder with flows and without a record is somebody's own: nothing comes into it by itself.
 * @param {string} flowsDir
 */
async function isSeeded(flowsDir) {
  const record = await fs.stat(path.join(flowsDir, SEEDED_FILE)).catch(() => null);
  return record !== null || (await flowFiles(flowsDir)).length === 0;
}

/**
 * The flow files of a folder: name → text, in their order.
 * @param {string} folder
 * @returns {Promise<Map<string, string>>}
 */
async function readAll(folder) {
  const names = await flowFiles(folder);
  const texts = await Promise.all(names.map((name) => fs.readFile(path.join(folder, name), 'utf8')));
  return new Map(names.map((name, place) => [name, texts[place]]));
}

/** @param {string} text */
const hash = (text) => crypto.createHash('sha256').update(text).digest('hex');

/**
 * The files for these flows. Nodes keep their place in a file, new ones follow; files keep their name while the order
 * of the tabs and the labels allow it.
 * @param {StoredNode[]} flows
 * @param {Layout} before  as it is on disk
 * @returns {Map<string, {file: string, order: string[], text: string}>} as Layout
 */
function splitFlows(flows, before) {
  const containers = ['tab', 'subflow'].flatMap((wanted) => flows.filter(({ type }) => type === wanted));
  /** @type {StoredNode[]} */
  const globals = [];
  /** @type {Map<string, StoredNode[]>} */
  const members = new Map(containers.map(({ id }) => [id, []]));
  for (const node of flows) {
    const home = members.has(node.id) ? node.id : node.z ?? '';
    (members.get(home) ?? globals).push(node);
  }
  /** @type {ReturnType<typeof splitFlows>} */
  const files = new Map();
  /**
   * @param {string} id
   * @param {StoredNode[]} nodes
   * @param {string} file
   */
  const add = (id, nodes, file) => {
    const sorted = inOrder(id, nodes, before.get(id)?.order ?? []);
    files.set(id, { file, order: sorted.map((node) => node.id), text: formatNodes(sorted) });
  };
  if (globals.length > 0) add('', globals, GLOBAL_FILE);
  const known = containers.map(({ id }) => before.get(id)?.file);
  const numbers = orderNumbers(known.map((file) => (file ? numberOf(file) : null)));
  const taken = new Set();
  containers.forEach(({ id, type, label, name }, index) => {
    const title = slug((type === 'tab' ? label : name) || type);
    let file = `${String(numbers[index]).padStart(3, '0')}-${title}.json`;
    if (taken.has(file)) file = file.replace('.json', `-${id}.json`);
    taken.add(file);
    add(id, members.get(id) ?? [], file);
  });
  return files;
}

/**
 * The nodes of a file: the container leads, the others keep the order that they had. Sort is stable, so that new nodes
 * stay as the editor ordered them.
 * @param {string} containerId
 * @param {StoredNode[]} nodes
 * @param {string[]} before  ids
 */
function inOrder(containerId, nodes, before) {
  const places = new Map(before.map((id, index) => [id, index]));
  /** @param {StoredNode} node */
  const place = (node) => places.get(node.id) ?? Infinity;
  const sorted = nodes.slice().sort((a, b) => place(a) - place(b) || 0);
  return [...sorted.filter(({ id }) => id === containerId), ...sorted.filter(({ id }) => id !== containerId)];
}

/**
 * Ascending numbers for the files: those known stay where they ascend, the others are put between or behind.
 * @param {(number | null)[]} known
 * @returns {number[]}
 */
function orderNumbers(known) {
  /** @type {number[]} */
  const numbers = [];
  let last = 0;
  for (const [i, own] of known.entries()) {
    let number = own;
    if (number === null || number <= last) {
      const following = known.slice(i + 1).find((candidate) => candidate !== null && candidate > last + 1) ?? null;
      number = following === null
        ? (Math.floor(last / ORDER_STEP) + 1) * ORDER_STEP
        : last + Math.max(1, Math.floor((following - last) / 2));
    }
    numbers.push(number);
    last = number;
  }
  return numbers;
}

/** @param {string} file */
const numberOf = (file) => Number.parseInt(file, 10);
/** @param {string} text */
const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'flow';

/** @param {string} folder */
async function flowFiles(folder) {
  const names = (await fs.readdir(folder)).filter((name) => name.endsWith('.json'));
  return names.sort((a, b) => numberOf(a) - numberOf(b));
}

/**
 * @param {string} target
 * @returns {Promise<LibraryEntry | null>} as Node-RED lists it; null when there is neither file nor folder
 */
async function readLibrary(target) {
  const stat = await fs.stat(target).catch(() => null);
  if (!stat) return null;
  if (stat.isFile()) return fs.readFile(target, 'utf8');
  const entries = await fs.readdir(target, { withFileTypes: true });
  return entries.map((entry) => (entry.isDirectory() ? entry.name : { fn: entry.name }));
}

/**
 * Nodes as JSON with one key per line; wires and other flat lists stay on one line.
 * @param {StoredNode[]} nodes
 */
function formatNodes(nodes) {
  return `[\n${nodes.map((node) => formatNode(node)).join(',\n')}\n]\n`;
}

/** @param {StoredNode} node */
function formatNode(node) {
  const lines = orderedKeys(node).map((key) => `    ${JSON.stringify(key)}: ${formatValue(node[key], key)}`);
  return `  {\n${lines.join(',\n')}\n  }`;
}

/** @param {StoredNode} node */
function orderedKeys(node) {
  const keys = Object.keys(node).filter((key) => node[key] !== undefined);
  const middle = keys.filter((key) => !FIRST_KEYS.includes(key) && !LAST_KEYS.includes(key)).sort();
  /** @param {string} key */
  const isThere = (key) => keys.includes(key);
  return [...FIRST_KEYS.filter(isThere), ...middle, ...LAST_KEYS.filter(isThere)];
}

/**
 * @param {any} value
 * @param {string} key
 */
function formatValue(value, key) {
  if (!Array.isArray(value) || value.length === 0) return JSON.stringify(value);
  // One element a line where elements are lists or objects (outputs, rules, environment variables).
  if (key !== 'wires' && typeof value[0] !== 'object') return JSON.stringify(value);
  return `[\n${value.map((item) => `      ${JSON.stringify(item)}`).join(',\n')}\n    ]`;
}

/**
 * @param {string} file
 * @returns {Promise<Record<string, any>>} empty when there is no such file
 */
async function readJson(file) {
  try {
    return JSON.parse(await fs.readFile(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    if (!(error instanceof SyntaxError)) throw error;
    throw new Error(`${file} is damaged (${error.message}); remove it to start with an empty one`, { cause: error });
  }
}

/**
 * @param {string} file
 * @param {object} value
 */
const writeJson = (file, value) => writeAtomically(file, `${JSON.stringify(value, null, 2)}\n`, 0o600);

/**
 * @param {string} file
 * @param {string} text
 * @param {number} [mode]
 */
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

module.exports = { createStorage, orderNumbers };
