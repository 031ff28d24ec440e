'use strict';
// Node-RED for ENMS. Every value that differs between installations comes from the environment (see .env.example).

/** @import { IncomingHttpHeaders, IncomingMessage } from 'node:http' */
/** @import { HttpResponse } from './nodes/types' */

const path = require('node:path');
const { createStorage } = require('./storage');
const { Auth, LoginGuard, keyOfLogin, sameLogin } = require('./lib/auth');
const { createEnrichment } = require('./lib/enrichment');
const library = require('./lib');
const { logging } = require('./log');
const { observePoll } = require('./nodes/metrics');

const BODY_LIMIT_BYTES = 1 << 20;
const BODY_LIMIT_DEPTH = 32;

/** @typedef {IncomingMessage & {headers: IncomingHttpHeaders, body?: unknown, _body?: boolean}} BodyRequest */

const environment = process.env;

/**
 * @param {string} name
 * @returns {string}
 */
function required(name) {
  const value = environment[name];
  if (!value) throw new Error(`${name} is not set: Node-RED does not start without it (see .env.example)`);
  return value;
}

const ownFlows = path.join(__dirname, 'flows');
const flowsDir = path.resolve(environment.ENMS_FLOWS_DIR || ownFlows);
const stateDir = path.resolve(environment.ENMS_STATE_DIR || path.join(environment.ENMS_RUN_DIR || '.run', 'state'));
const editorUser = environment.ENMS_EDITOR_USER || 'operator';
const editorPassword = required('ENMS_EDITOR_PASSWORD');
const secretKey = required('ENMS_SECRET_KEY');
const login = { user: editorUser, password: editorPassword, secret: secretKey };
const guard = new LoginGuard();
const auth = new Auth(login);
const operator = { username: editorUser, permissions: '*' };

/** @type {typeof library.pollAll}  its polls are measured */
const pollAll = (devices, memory, onResult, options) =>
  library.pollAll(devices, memory, onResult, { observe: observePoll, ...options });

/**
 * Whether objects and lists are in each other deeper than any request here needs: copying such a body would end
 * Node.js.
 * @param {unknown} body
 */
function isTooDeep(body) {
  let level = [body];
  for (let depth = 0; depth < BODY_LIMIT_DEPTH && level.length > 0; depth += 1) {
    level = level.flatMap((value) => (value !== null && typeof value === 'object' ? Object.values(value) : []));
  }
  return level.length > 0;
}

/**
 * JSON bodies of http-in nodes, so that a broken one is answered with a sentence (Node-RED's own parser answers 500).
 * @param {BodyRequest} request
 * @param {HttpResponse} response
 * @param {() => void} next
 */
function readJsonBody(request, response, next) {
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) return next();
  /**
   * @param {number} status
   * @param {string} error
   */
  const refuse = (status, error) => response.status(status).set('Connection', 'close').json({ error });
  /** @type {Buffer[]} */
  const chunks = [];
  let bytes = 0;
  request.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes <= BODY_LIMIT_BYTES) chunks.push(chunk);
  });
  request.on('end', () => {
    if (bytes > BODY_LIMIT_BYTES) return refuse(413, 'The body is too large.');
    try {
      request.body = bytes > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : {};
    } catch (error) {
      return refuse(400, `The body is not valid JSON: ${error.message}.`);
    }
    if (isTooDeep(request.body)) return refuse(400, `The body is nested deeper than ${BODY_LIMIT_DEPTH} levels.`);
    // Says to the parsers that follow that there is nothing left to read.
    request._body = true;
    next();
  });
}

module.exports = {
  uiHost: environment.ENMS_NODERED_HOST || '127.0.0.1',
  uiPort: Number(environment.ENMS_NODERED_PORT || 1880),
  httpAdminRoot: '/nodered',
  httpNodeRoot: '/api',
  userDir: path.join(stateDir, 'nodered'),
  storageModule: createStorage({
    flowsDir,
    seedDir: flowsDir === ownFlows ? undefined : ownFlows,
    examplesDir: path.join(__dirname, 'examples'),
    loginMark: keyOfLogin(login, 'enms editor sessions').toString('hex'),
  }),
  nodesDir: path.join(__dirname, 'nodes'),
  credentialSecret: secretKey,
  functionGlobalContext: {
    enms: { ...library, pollAll, auth, enrichment: createEnrichment(path.join(stateDir, 'gcode')) },
  },
  functionExternalModules: false,
  functionTimeout: 10,
  apiMaxLength: '2mb',
  httpNodeMiddleware: readJsonBody,

  adminAuth: {
    type: 'credentials',
    sessionExpiryTime: 12 * 3600,
    users: async (/** @type {string} */ name) => (name === editorUser ? operator : null),
    authenticate: async (/** @type {string} */ name, /** @type {string} */ password) => {
      // Too many wait already: Node-RED takes null for a refusal and would not survive an exception.
      if (await guard.wait('editor').then(() => false, () => true)) return null;
      const good = sameLogin(name, password, login);
      guard.record('editor', good);
      return good ? operator : null;
    },
  },

  // Nothing is installed, updated or reported from a running factory.
  externalModules: {
    autoInstall: false,
    palette: { allowInstall: false, allowUpdate: false, allowUpload: false },
    modules: { allowInstall: false },
  },
  telemetry: { enabled: false, updateNotification: false },
  diagnostics: { enabled: false, ui: false },
  runtimeState: { enabled: false, ui: false },

  // Nodes that reach past the factory's joints (shell, raw sockets) or that no flow here needs.
  nodesExcludes: [
    '90-exec.js', '31-tcpin.js', '32-udp.js', '23-watch.js', '06-httpproxy.js', '10-mqtt.js', '70-HTML.js', '70-XML.js',
  ],

  editorTheme: {
    page: { title: 'ENMS flows' },
    header: { title: 'ENMS flows' },
    login: { image: '' },
    palette: { categories: ['enms', 'subflows', 'common', 'function', 'network', 'sequence', 'parser', 'storage'] },
    projects: { enabled: false },
    tours: false,
    multiplayer: { enabled: false },
  },
  logging: logging(environment.ENMS_LOG_LEVEL),
};
