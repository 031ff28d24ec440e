'use strict';
// HTTP digest authentication (RFC 7616, and RFC 2069 when there is no qop), as much of it as printers use.

/** @import { Answer, Request } from './http' */

const crypto = require('node:crypto');
const { send } = require('./http');

/**
 * @typedef {{name: string, hash: string, session: boolean}} Algorithm  name: as a challenge has it
 * @typedef {object} Session  a challenge that we answer, for as long as the server takes its nonce
 * @property {string} realm
 * @property {string} nonce
 * @property {string} [opaque]
 * @property {Algorithm} algorithm
 * @property {number} nc  uses of the nonce
 * @property {'auth' | null} qop  null: as in RFC 2069
 * @property {boolean} stale  only the nonce was too old
 * @typedef {{user: string, password: string}} Credentials
 */

/** @type {Algorithm[]}  best first */
const ALGORITHMS = [
  { name: 'SHA-256', hash: 'sha256', session: false },
  { name: 'SHA-256-sess', hash: 'sha256', session: true },
  { name: 'MD5', hash: 'md5', session: false },
  { name: 'MD5-sess', hash: 'md5', session: true },
];
const SCHEME = /([A-Za-z][A-Za-z0-9-]*)\s+(?=[A-Za-z][A-Za-z0-9_-]*\s*=\s*["A-Za-z0-9])/;
const PARAMETER = /([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/;
const TOKEN = new RegExp(`${SCHEME.source}|${PARAMETER.source}`, 'g');

/**
 * @param {Algorithm} algorithm
 * @param {string} text
 */
const hashOf = (algorithm, text) => crypto.createHash(algorithm.hash).update(text, 'utf8').digest('hex');

/**
 * Every Digest challenge of a WWW-Authenticate header (schemes may be listed one after another).
 * @param {string | undefined} header
 * @returns {Record<string, string>[]}
 */
function challenges(header) {
  const found = [];
  /** @type {Record<string, string> | null} */
  let current = null;
  for (const [, scheme, name, quotedValue, value] of (header ?? '').matchAll(TOKEN)) {
    if (scheme !== undefined) {
      current = scheme.toLowerCase() === 'digest' ? {} : null;
      if (current !== null) found.push(current);
    } else if (current !== null) {
      current[name.toLowerCase()] = quotedValue !== undefined ? quotedValue.replace(/\\(.)/g, '$1') : value;
    }
  }
  return found.filter((challenge) => challenge.nonce !== undefined);
}

/**
 * The strongest challenge that can be answered.
 * @param {string | undefined} header  WWW-Authenticate
 * @returns {Session | null}
 */
function choose(header) {
  /** @type {Session[]} */
  const usable = [];
  for (const challenge of challenges(header)) {
    // A challenge that names no algorithm means MD5.
    const algorithm = ALGORITHMS.find((a) => a.name.toLowerCase() === (challenge.algorithm ?? 'MD5').toLowerCase());
    const offered = challenge.qop?.split(',').map((word) => word.trim().toLowerCase());
    if (algorithm === undefined || (offered !== undefined && !offered.includes('auth'))) continue;
    usable.push({
      realm: challenge.realm ?? '', nonce: challenge.nonce, opaque: challenge.opaque, algorithm, nc: 0,
      qop: offered === undefined ? null : 'auth', stale: challenge.stale?.toLowerCase() === 'true',
    });
  }
  usable.sort((a, b) => ALGORITHMS.indexOf(a.algorithm) - ALGORITHMS.indexOf(b.algorithm));
  return usable[0] ?? null;
}

/** @param {string} text */
const quoted = (text) => `"${text.replace(/(["\\])/g, '\\$1')}"`;

/**
 * The Authorization value; counts the use of the nonce in `session.nc`.
 * @param {Session} session
 * @param {Credentials & {method: string, uri: string}} request
 * @param {string} [cnonce]  the client's nonce
 * @returns {string}
 */
function authorization(session, { user, password, method, uri }, cnonce = crypto.randomBytes(8).toString('hex')) {
  session.nc += 1;
  const { realm, nonce, opaque, qop, algorithm } = session;
  const nc = session.nc.toString(16).padStart(8, '0');
  const secret = hashOf(algorithm, `${user}:${realm}:${password}`);
  const a1 = algorithm.session ? hashOf(algorithm, `${secret}:${nonce}:${cnonce}`) : secret;
  const a2 = hashOf(algorithm, `${method}:${uri}`);
  const middle = qop === null ? nonce : `${nonce}:${nc}:${cnonce}:${qop}`;
  const response = hashOf(algorithm, `${a1}:${middle}:${a2}`);
  const parts = [
    `username=${quoted(user)}`, `realm=${quoted(realm)}`, `nonce=${quoted(nonce)}`, `uri=${quoted(uri)}`,
    `response="${response}"`,
  ];
  if (opaque !== undefined) parts.push(`opaque=${quoted(opaque)}`);
  // MD5 is what its absence means, and some printers refuse a sent algorithm: so it is named only where it must be.
  if (algorithm.name !== 'MD5') parts.push(`algorithm=${algorithm.name}`);
  if (qop !== null) parts.push(`qop=${qop}`, `nc=${nc}`);
  if (qop !== null || algorithm.session) parts.push(`cnonce="${cnonce}"`);
  return `Digest ${parts.join(', ')}`;
}

/**
 * A request with digest authentication.
 * @param {string} url
 * @param {Request} request
 * @param {Credentials} credentials
 * @param {{session: Session | null}} memory  keeps the nonce between calls, so that a poll costs one round trip
 * @returns {Promise<Answer>} status 401 when the credentials are refused
 * @throws {PollError} as send() does
 */
async function sendDigest(url, request, { user, password }, memory) {
  const target = new URL(url);
  const signed = { user, password, method: request.method ?? 'GET', uri: target.pathname + target.search };
  const attempt = () => send(url, {
    ...request,
    headers: memory.session
      ? { ...request.headers, authorization: authorization(memory.session, signed) }
      : request.headers,
  });

  let answer = await attempt();
  // Twice at most: a first challenge (or an expired nonce), and one more when that very nonce was stale at once.
  for (let round = 0; round < 2 && answer.status === 401; round += 1) {
    const challenge = choose(answer.headers['www-authenticate']);
    if (challenge === null) {
      memory.session = null;
      return answer;
    }
    if (round > 0 && !challenge.stale) break;
    memory.session = challenge;
    answer = await attempt();
  }
  if (answer.status === 401) memory.session = null;
  return answer;
}

module.exports = { sendDigest, choose, authorization };
