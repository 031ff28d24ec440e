'use strict';
// One small HTTP client for printers: they are slow, close connections when they like, and must never be trusted with
// size.

/** @import { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http' */

const http = require('node:http');
const https = require('node:https');
const { PollError } = require('./poll-error');

const MAX_BYTES = 2 * 1024 * 1024;
// Two connections a printer: the small boards handle few at once.
/** @type {http.AgentOptions} */
const options = { keepAlive: true, maxSockets: 2, maxFreeSockets: 1, scheduling: 'lifo', timeout: 60_000 };
/** @type {Record<string, http.Agent>} */
const AGENTS = { 'http:': new http.Agent(options), 'https:': new https.Agent(options) };
/** @type {Record<string, string>} */
const REASONS = {
  ENOTFOUND: 'the name is unknown: check api_ip.',
  EAI_AGAIN: 'the name server does not answer: check the network.',
  ECONNREFUSED: 'nothing listens there: is the printer on, and is the port right?',
  ECONNRESET: 'it closed the connection: try again, or check the port.',
  EHOSTUNREACH: 'there is no way to this host: is the printer on and in this network?',
  ENETUNREACH: 'there is no way to this network: check the network.',
};

/**
 * @typedef {{method?: string, headers?: OutgoingHttpHeaders, body?: string, signal: AbortSignal}} Request
 *   the signal ends connecting, waiting and reading alike
 * @typedef {{status: number, headers: IncomingHttpHeaders, text: string}} Answer
 * @typedef {Error & {code?: string, staleConnection?: boolean}} NetworkError
 */

/**
 * 'printer:80', 'http://printer/octo/' → URL without a trailing slash.
 * @param {string | null | undefined} address
 * @returns {string}
 * @throws {PollError} config
 */
function baseUrl(address) {
  const text = typeof address === 'string' ? address.trim() : '';
  if (text === '') throw new PollError('config', 'The device has no address: set api_ip to its host name or IP.');
  let url;
  try {
    url = new URL(/^https?:\/\//i.test(text) ? text : `http://${text}`);
  } catch {
    throw new PollError('config', `The address "${text}" is not a host, host:port or http(s) URL: correct api_ip.`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new PollError('config', 'The address must not hold a password: use api_key.');
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/**
 * @param {string} url  complete
 * @param {Request} request
 * @returns {Promise<Answer>} whatever its status
 * @throws {PollError} timeout, unreachable, http or payload
 */
async function send(url, request) {
  try {
    return await once(url, request, true).catch((error) => {
      // A kept connection that the printer had closed meanwhile: not the printer's failure, ask again on a fresh one.
      if (error.staleConnection !== true || request.signal.aborted) throw error;
      return once(url, request, false);
    });
  } catch (error) {
    throw translate(error, url, request);
  }
}

/**
 * @param {string} url
 * @param {Request} request
 * @param {boolean} reuse  whether a kept connection may be used
 * @returns {Promise<Answer>}
 */
function once(url, { method = 'GET', headers = {}, body, signal }, reuse) {
  return new Promise((resolve, reject) => {
    const target = new URL(url);
    const module = target.protocol === 'https:' ? https : http;
    /** @type {OutgoingHttpHeaders} */
    const sent = { accept: 'application/json', ...headers };
    if (body !== undefined) {
      sent['content-type'] = 'application/json';
      sent['content-length'] = Buffer.byteLength(body);
    }
    const agent = reuse ? AGENTS[target.protocol] : new module.Agent();
    const request = module.request(target, { method, headers: sent, signal, agent });
    request.on('error', (/** @type {NetworkError} */ error) => {
      error.staleConnection = request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(error.code ?? '');
      reject(error);
    });
    request.on('response', (response) => read(response, target.host).then(resolve, reject));
    request.end(body);
  });
}

/**
 * @param {http.IncomingMessage} response
 * @param {string} host
 * @returns {Promise<Answer>}
 */
function read(response, host) {
  return new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    const chunks = [];
    let size = 0;
    response.on('data', (chunk) => {
      size += chunk.length;
      if (size > MAX_BYTES) {
        response.destroy();
        const limit = MAX_BYTES / 1024 / 1024;
        reject(new PollError('payload', `${host} answered with more than ${limit} MB: is this the printer's address?`));
        return;
      }
      chunks.push(chunk);
    });
    response.on('error', reject);
    response.on('end', () => {
      const { statusCode: status = 0, headers } = response;
      resolve({ status, headers, text: Buffer.concat(chunks).toString('utf8') });
    });
  });
}

/**
 * @param {PollError | NetworkError} error
 * @param {string} url
 * @param {Request} request
 * @returns {PollError}
 */
function translate(error, url, { signal }) {
  if (error instanceof PollError) return error;
  const { host } = new URL(url);
  if (signal.aborted || error.code === 'ETIMEDOUT') {
    const remedy = 'it may be busy; if it stays so, check its network.';
    return new PollError('timeout', `${host} did not answer in time: ${remedy}`);
  }
  const reason = REASONS[error.code ?? ''] ?? `${error.code ?? 'its answer is not HTTP'}.`;
  return new PollError('unreachable', `${host} cannot be reached: ${reason}`);
}

/**
 * The JSON object or array of a successful answer.
 * @param {Answer} answer
 * @param {string} url  where it came from, for the sentences
 * @returns {any}
 * @throws {PollError} auth, http or payload for every other answer
 */
function json(answer, url) {
  const { host, pathname } = new URL(url);
  expectSuccess(answer, url);
  let value;
  try {
    value = JSON.parse(answer.text);
  } catch {
    throw new PollError('payload', `${host}${pathname} did not answer with JSON: is source right for this device?`);
  }
  if (typeof value !== 'object' || value === null) {
    throw new PollError('payload', `${host}${pathname} answered with an unexpected value: is source right?`);
  }
  return value;
}

/**
 * @param {Answer} answer
 * @param {string} url
 */
function expectSuccess({ status }, url) {
  const { host, pathname } = new URL(url);
  if (status === 401 || status === 403) {
    throw new PollError('auth', `${host} refused the credentials (${status}): correct api_key.`);
  }
  if (status >= 300 && status < 400) {
    // Following a redirect would hand the credentials to whoever is named in it.
    const remedy = 'which is not followed: give the final address in api_ip.';
    throw new PollError('http', `${host}${pathname} redirects (${status}), ${remedy}`);
  }
  if (status < 200 || status >= 300) {
    const remedy = status >= 500 ? 'the printer has a fault, try again later.' : 'is source right for this device?';
    throw new PollError('http', `${host}${pathname} answered ${status}: ${remedy}`);
  }
}

module.exports = { baseUrl, send, json };
