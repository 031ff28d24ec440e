'use strict';
// HTTP digest authentication (RFC 7616, and RFC 2069 when there is no qop), as much of it as printers use.

const crypto = require('node:crypto');
const { send } = require('./http');

// Best first. The header value is what a challenge names; null stands for a challenge that names none.
const ALGORITHMS = [
  { name: 'SHA-256', hash: 'sha256', session: false },
  { name: 'SHA-256-sess', hash: 'sha256', session: true },
  { name: 'MD5', hash: 'md5', session: false },
  { name: 'MD5-sess', hash: 'md5', session: true },
];
const hashOf = (algorithm, text) => crypto.createHash(algorithm.hash).update(text, 'utf8').digest('hex');

/** Every Digest challenge of a WWW-Authenticate header (schemes may be listed one after another). */
function challenges(header) {
  const found = [];
  let current = null;
  const token = /([A-Za-z][A-Za-z0-9-]*)\s+(?=[A-Za-z][A-Za-z0-9_-]*\s*=\s*["A-Za-z0-9])|([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/g;
  for (const match of (header ?? '').matchAll(token)) {
    if (match[1] !== undefined) {
      current = match[1].toLowerCase() === 'digest' ? {} : null;
      if (current !== null) found.push(current);
    } else if (current !== null) {
      current[match[2].toLowerCase()] = match[3] !== undefined ? match[3].replace(/\\(.)/g, '$1') : match[4];
    }
  }
  return found.filter((challenge) => challenge.nonce !== undefined);
}

/** {realm, nonce, opaque, qop, algorithm, nc, stale} of the strongest challenge that can be answered, or null. */
function choose(header) {
  const usable = [];
  for (const challenge of challenges(header)) {
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

const quoted = (text) => `"${text.replace(/(["\\])/g, '\\$1')}"`;

/** The Authorization value; counts the use of the nonce in `session.nc`. */
function authorization(session, { user, password, method, uri }, cnonce = crypto.randomBytes(8).toString('hex')) {
  session.nc += 1;
  const { realm, nonce, opaque, qop, algorithm } = session;
  const nc = session.nc.toString(16).padStart(8, '0');
  const secret = hashOf(algorithm, `${user}:${realm}:${password}`);
  const a1 = algorithm.session ? hashOf(algorithm, `${secret}:${nonce}:${cnonce}`) : secret;
  const a2 = hashOf(algorithm, `${method}:${uri}`);
  const response = hashOf(algorithm, qop === null ? `${a1}:${nonce}:${a2}` : `${a1}:${nonce}:${nc}:${cnonce}:${qop}:${a2}`);
  const parts = [`username=${quoted(user)}`, `realm=${quoted(realm)}`, `nonce=${quoted(nonce)}`, `uri=${quoted(uri)}`, `response="${response}"`];
  if (opaque !== undefined) parts.push(`opaque=${quoted(opaque)}`);
  // MD5 is what its absence means, and some printers refuse a sent algorithm: so it is named only where it must be.
  if (algorithm.name !== 'MD5') parts.push(`algorithm=${algorithm.name}`);
  if (qop !== null) parts.push(`qop=${qop}`, `nc=${nc}`);
  if (qop !== null || algorithm.session) parts.push(`cnonce="${cnonce}"`);
  return `Digest ${parts.join(', ')}`;
}

/**
 * A request with digest authentication. `memory.session` keeps the nonce between calls, so that a poll costs one round trip.
 */
async function sendDigest(url, request, { user, password }, memory) {
  const target = new URL(url);
  const credentials = { user, password, method: request.method ?? 'GET', uri: target.pathname + target.search };
  const attempt = () => send(url, {
    ...request,
    headers: memory.session ? { ...request.headers, authorization: authorization(memory.session, credentials) } : request.headers,
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
