'use strict';
// One small HTTP client for printers: they are slow, close connections when they like, and must never be trusted with size.

const http = require('node:http');
const https = require('node:https');
const { PollError } = require('./poll-error');

const MAX_BYTES = 2 * 1024 * 1024;
// Two connections a printer: the small boards handle few at once.
const options = { keepAlive: true, maxSockets: 2, maxFreeSockets: 1, scheduling: 'lifo', timeout: 60_000 };
const AGENTS = { 'http:': new http.Agent(options), 'https:': new https.Agent(options) };

/** 'printer:80', 'http://printer/octo/' → URL without a trailing slash; throws PollError 'config'. */
function baseUrl(address) {
  const text = typeof address === 'string' ? address.trim() : '';
  if (text === '') throw new PollError('config', 'The device has no address: set api_ip to its host name or IP.');
  let url;
  try {
    url = new URL(/^https?:\/\//i.test(text) ? text : `http://${text}`);
  } catch {
    throw new PollError('config', `The address "${text}" is not a host, host:port or http(s) URL: correct api_ip.`);
  }
  if (url.username !== '' || url.password !== '') throw new PollError('config', 'The address must not hold a password: use api_key.');
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/**
 * @param {string} url  complete
 * @param {{method?: string, headers?: object, body?: string, signal: AbortSignal}} request
 *   the signal ends connecting, waiting and reading alike
 * @returns {Promise<{status: number, headers: object, text: string}>}; throws PollError timeout | unreachable | http | payload
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

function once(url, { method = 'GET', headers = {}, body, signal }, reuse) {
  return new Promise((resolve, reject) => {
    const target = new URL(url);
    const module = target.protocol === 'https:' ? https : http;
    const sent = { accept: 'application/json', ...headers };
    if (body !== undefined) {
      sent['content-type'] = 'application/json';
      sent['content-length'] = Buffer.byteLength(body);
    }
    const request = module.request(target, { method, headers: sent, signal, agent: reuse ? AGENTS[target.protocol] : new module.Agent() });
    request.on('error', (error) => {
      error.staleConnection = request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(error.code);
      reject(error);
    });
    request.on('response', (response) => {
      const chunks = [];
      let size = 0;
      response.on('data', (chunk) => {
        size += chunk.length;
        if (size > MAX_BYTES) {
          response.destroy();
          reject(new PollError('payload', `${target.host} answered with more than ${MAX_BYTES / 1024 / 1024} MB: is this the printer's address?`));
          return;
        }
        chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString('utf8') }));
    });
    request.end(body);
  });
}

function translate(error, url, { signal }) {
  if (error instanceof PollError) return error;
  const { host } = new URL(url);
  if (signal.aborted || error.code === 'ETIMEDOUT') {
    return new PollError('timeout', `${host} did not answer in time: it may be busy; if it stays so, check its network.`);
  }
  const reasons = {
    ENOTFOUND: 'the name is unknown: check api_ip.',
    EAI_AGAIN: 'the name server does not answer: check the network.',
    ECONNREFUSED: 'nothing listens there: is the printer on, and is the port right?',
    ECONNRESET: 'it closed the connection: try again, or check the port.',
    EHOSTUNREACH: 'there is no way to this host: is the printer on and in this network?',
    ENETUNREACH: 'there is no way to this network: check the network.',
  };
  return new PollError('unreachable', `${host} cannot be reached: ${reasons[error.code] ?? `${error.code ?? 'its answer is not HTTP'}.`}`);
}

/** The JSON object or array of a 200 answer; every other answer becomes a PollError. */
function json(response, url) {
  const { host, pathname } = new URL(url);
  expect2xx(response, url);
  let value;
  try {
    value = JSON.parse(response.text);
  } catch {
    throw new PollError('payload', `${host}${pathname} did not answer with JSON: is source right for this device?`);
  }
  if (typeof value !== 'object' || value === null) throw new PollError('payload', `${host}${pathname} answered with an unexpected value: is source right?`);
  return value;
}

function expect2xx({ status }, url) {
  const { host, pathname } = new URL(url);
  if (status === 401 || status === 403) throw new PollError('auth', `${host} refused the credentials (${status}): correct api_key.`);
  // Following a redirect would hand the credentials to whoever is named in it.
  if (status >= 300 && status < 400) throw new PollError('http', `${host}${pathname} redirects (${status}), which is not followed: give the final address in api_ip.`);
  if (status < 200 || status >= 300) throw new PollError('http', `${host}${pathname} answered ${status}: ${status >= 500 ? 'the printer has a fault, try again later.' : 'is source right for this device?'}`);
}

module.exports = { baseUrl, send, json };
