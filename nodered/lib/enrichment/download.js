'use strict';
// A printer's G-code file, streamed to disk: bounded in size and time, resumed where the server allows it.

/** @import { IncomingMessage, OutgoingHttpHeaders } from 'node:http' */
/** @import { PollErrorKind, PrinterAddress, Transfer } from '../types' */

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { Transform } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { PollError } = require('../printers/poll-error');
const { baseUrl } = require('../printers/http');
const { choose, authorization } = require('../printers/http-digest');
const { credentials } = require('../printers/prusalink');

// Sentences are stored with the print, so none of them names the printer's address.
const RETRIED_STATUS = new Set([408, 409, 416, 425, 429]);

/** @typedef {{signal: AbortSignal, idleMs: number}} Patience */

/**
 * @param {PollErrorKind} kind
 * @param {string} message
 * @param {boolean} [retry]  whether it may help to ask again later
 */
const refusal = (kind, message, retry = false) => new PollError(kind, message, { retry });

/**
 * The URL of a file on its printer. The reference comes from the printer: it must stay on it, credentials are sent
 * there.
 * @param {PrinterAddress} device
 * @param {string} reference  path or URL
 * @returns {URL}
 * @throws {PollError} config or payload
 */
function fileUrl(device, reference) {
  const base = baseOf(device);
  let url;
  try {
    const isPath = reference.startsWith('/') && !reference.startsWith('//');
    url = isPath ? new URL(base + reference) : new URL(reference, `${base}/`);
  } catch {
    throw refusal('payload', 'The printer names its file in a way that is no address.');
  }
  if (url.origin !== new URL(base).origin) {
    throw refusal('payload', 'The printer names a file on another host, which is not followed.');
  }
  return url;
}

/** @param {PrinterAddress} device */
function baseOf(device) {
  try {
    return baseUrl(device.api_ip);
  } catch {
    throw refusal('config', 'The device has no usable address: correct api_ip.');
  }
}

/**
 * Fetches a file into `transfer.path`. Call it again with the same `transfer` to continue where it broke off.
 * @param {PrinterAddress} device
 * @param {string} reference  path or URL of the file
 * @param {Transfer} transfer
 * @param {{maxBytes: number, idleMs?: number, totalMs?: number}} limits  idleMs: without a byte
 * @returns {Promise<{bytes: number, resumed: boolean}>}
 * @throws {PollError} with `retry`
 */
async function download(device, reference, transfer, { maxBytes, idleMs = 20_000, totalMs = 20 * 60_000 }) {
  const url = fileUrl(device, reference);
  const signal = AbortSignal.timeout(totalMs);
  const have = transfer.validator ? sizeOf(transfer.path) : 0;
  /** @type {OutgoingHttpHeaders} */
  const headers = { accept: '*/*', 'accept-encoding': 'identity' };
  if (device.source !== 'prusalink' && device.api_key) headers['x-api-key'] = device.api_key;
  if (have > 0) Object.assign(headers, { range: `bytes=${have}-`, 'if-range': transfer.validator });
  try {
    const response = await authorized(url, headers, device, { signal, idleMs });
    const resumed = startsAt(response, have);
    if (response.statusCode === 416) transfer.validator = null;
    check(response, maxBytes, resumed ? have : 0);
    const { etag, 'last-modified': modified } = response.headers;
    // A weak tag does not promise the same bytes.
    transfer.validator = etag && !etag.startsWith('W/') ? etag : modified ?? null;
    const bytes = await write(response, transfer.path, { maxBytes, resumed, have, signal });
    if (bytes === 0) throw refusal('payload', 'The printer delivered an empty file.');
    return { bytes, resumed };
  } catch (error) {
    throw translate(error, signal);
  }
}

/** @param {string} path */
const sizeOf = (path) => fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/**
 * PrusaLink asks for digest, its legacy form for the key; a printer's first answer says which.
 * @param {URL} url
 * @param {OutgoingHttpHeaders} headers
 * @param {PrinterAddress} device
 * @param {Patience} patience
 */
async function authorized(url, headers, device, patience) {
  const first = await request(url, headers, patience);
  if (first.statusCode !== 401 || device.source !== 'prusalink' || !device.api_key) return first;
  first.resume();
  const challenge = choose(first.headers['www-authenticate']);
  const login = { ...credentials(device.api_key), method: 'GET', uri: url.pathname + url.search };
  const answer = challenge === null
    ? { 'x-api-key': device.api_key }
    : { authorization: authorization(challenge, login) };
  return request(url, { ...headers, ...answer }, patience);
}

/**
 * @param {URL} url
 * @param {OutgoingHttpHeaders} headers
 * @param {Patience} patience
 * @returns {Promise<IncomingMessage>}
 */
function request(url, headers, { signal, idleMs }) {
  return new Promise((resolve, reject) => {
    const module = url.protocol === 'https:' ? https : http;
    // A connection of its own: the few that a printer can hold belong to polling.
    const sent = module.get(url, { headers, signal, agent: false, timeout: idleMs }, resolve);
    sent.on('timeout', () => sent.destroy(Object.assign(new Error('idle'), { code: 'ETIMEDOUT' })));
    sent.on('error', reject);
  });
}

/**
 * Whether the answer continues at what we have.
 * @param {IncomingMessage} response
 * @param {number} have  bytes
 */
function startsAt({ statusCode, headers }, have) {
  return statusCode === 206 && have > 0 && Number(/^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1]) === have;
}

/**
 * @param {IncomingMessage} response
 * @param {number} maxBytes
 * @param {number} have  bytes
 * @throws {PollError} when no file will follow, or a larger one than allowed
 */
function check(response, maxBytes, have) {
  const { statusCode: status = 0, headers } = response;
  /** @param {Parameters<typeof refusal>} reason */
  const refuse = (...reason) => {
    response.destroy();
    throw refusal(...reason);
  };
  if (status === 401 || status === 403) {
    refuse('auth', `The printer refuses to hand out the file (${status}): correct api_key.`);
  }
  if (status === 404 || status === 410) refuse('http', 'The printer no longer has the file.');
  const mayHelp = status >= 500 || RETRIED_STATUS.has(status) || (status === 206 && have === 0);
  if (mayHelp) refuse('http', `The printer could not deliver the file (${status}).`, true);
  if (status !== 200 && status !== 206) refuse('http', `The printer does not deliver the file (${status}).`);
  if (have + Number(headers['content-length'] ?? 0) > maxBytes) refuse('payload', tooLarge(maxBytes));
}

/** @param {number} maxBytes */
const tooLarge = (maxBytes) => `The file is larger than the limit of ${Math.round(maxBytes / (1 << 20))} MB.`;

/**
 * @param {IncomingMessage} response
 * @param {string} path
 * @param {{maxBytes: number, resumed: boolean, have: number, signal: AbortSignal}} options
 * @returns {Promise<number>} bytes of the whole file
 */
async function write(response, path, { maxBytes, resumed, have, signal }) {
  let bytes = resumed ? have : 0;
  const limiter = new Transform({
    transform(chunk, _encoding, done) {
      bytes += chunk.length;
      done(bytes > maxBytes ? refusal('payload', tooLarge(maxBytes)) : null, chunk);
    },
  });
  const file = fs.createWriteStream(path, { flags: resumed ? 'a' : 'w', mode: 0o600 });
  await pipeline(response, limiter, file, { signal });
  return bytes;
}

/**
 * @param {PollError | NodeJS.ErrnoException} error
 * @param {AbortSignal} signal
 * @returns {PollError}
 */
function translate(error, signal) {
  if (error instanceof PollError) return error;
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') {
    return refusal('disk', 'There is no room on our disk for the file.', true);
  }
  if (signal.aborted || error.code === 'ETIMEDOUT') {
    return refusal('timeout', 'The printer did not deliver the file in time.', true);
  }
  return refusal('unreachable', `The printer could not be reached for the file (${error.code ?? 'no HTTP'}).`, true);
}

module.exports = { download, fileUrl };
