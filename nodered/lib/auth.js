'use strict';
// Who may change something: a signed session cookie with a CSRF token, or HTTP Basic for scripts. Failed logins are slowed down.

const crypto = require('node:crypto');

const COOKIE = 'enms_session';
const SESSION_SECONDS = 12 * 3600;
const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30000;
const FORGET_MS = 15 * 60000;
const ADDRESSES_REMEMBERED = 1000;
const TOTAL_FACTOR = 10;
const WAITING_AT_MOST = 50;

/** Equality that takes the same time wherever the texts differ. */
function sameText(a, b) {
  const digest = (text) => crypto.createHash('sha256').update(String(text ?? '')).digest();
  return crypto.timingSafeEqual(digest(a), digest(b));
}

/** Slows down failed logins per address, and all of them together when many addresses try. Memory is bounded. */
class LoginGuard {
  /** @param {{now?: () => number, sleep?: (ms: number) => Promise<void>}} [clock]  milliseconds */
  constructor({ now = Date.now, sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)) } = {}) {
    this.now = now;
    this.sleep = sleep;
    this.failures = new Map();
    this.total = { count: 0, at: 0 };
    this.waiting = 0;
  }

  /** How long a login from this address has to wait, milliseconds. */
  delay(address) {
    return Math.max(this.#delayOf(this.failures.get(address), FREE_FAILURES), this.#delayOf(this.total, FREE_FAILURES * TOTAL_FACTOR));
  }

  /** Wait before the password is looked at. @throws when too many logins wait already */
  async wait(address) {
    const milliseconds = this.delay(address);
    if (milliseconds === 0) return;
    if (this.waiting >= WAITING_AT_MOST) throw new AuthError(429, 'Too many failed logins: wait a minute and try again.');
    this.waiting += 1;
    try {
      await this.sleep(milliseconds);
    } finally {
      this.waiting -= 1;
    }
  }

  record(address, succeeded) {
    const now = this.now();
    const known = this.failures.get(address);
    this.failures.delete(address);
    if (succeeded) return;
    this.failures.set(address, { count: this.#current(known) + 1, at: now });
    if (this.failures.size > ADDRESSES_REMEMBERED) this.failures.delete(this.failures.keys().next().value);
    this.total = { count: this.#current(this.total) + 1, at: now };
  }

  #current(entry) { return entry && this.now() - entry.at < FORGET_MS ? entry.count : 0; }

  #delayOf(entry, free) {
    const count = this.#current(entry) - free;
    return count < 0 ? 0 : Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(count, 16));
  }
}

/**
 * A key that only this login with this secret gives: a new password makes everything signed with the old one void.
 * @param {{user: string, password: string, secret: string}} login @param {string} purpose  keys of different purposes are worth nothing for each other
 * @returns {Buffer}
 */
function keyOfLogin({ user, password, secret }, purpose) {
  return crypto.createHmac('sha256', secret).update(JSON.stringify([purpose, user, password])).digest();
}

class AuthError extends Error {
  /** @param {number} status  HTTP status @param {string} sentence  for the person */
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

class Auth {
  /**
   * @param {{user: string, password: string, secret: string, now?: () => number, guard?: LoginGuard}} options
   * @throws when password or secret is missing: an open door must not be the default
   */
  constructor({ user, password, secret, now = Date.now, guard = new LoginGuard() }) {
    if (!password) throw new Error('ENMS_EDITOR_PASSWORD is not set');
    if (!secret) throw new Error('ENMS_SECRET_KEY is not set');
    Object.assign(this, { user, password, now, guard });
    this.key = keyOfLogin({ user, password, secret }, 'enms session');
  }

  /** @returns {Promise<{user, cookie, csrf_token, expires}>} `cookie` is a Set-Cookie value @throws AuthError 401, 429 */
  async login(name, password, address, { secure = false } = {}) {
    await this.#check(name, password, address);
    const expires = Math.floor(this.now() / 1000) + SESSION_SECONDS;
    const body = Buffer.from(JSON.stringify({ user: this.user, expires, nonce: crypto.randomBytes(12).toString('base64url') })).toString('base64url');
    const token = `${body}.${this.#sign(`session ${body}`)}`;
    return {
      user: this.user,
      csrf_token: this.#csrf(token),
      expires: new Date(expires * 1000).toISOString(),
      cookie: `${COOKIE}=${token}; Path=/; Max-Age=${SESSION_SECONDS}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`,
    };
  }

  /** The Set-Cookie value that ends a session in the browser. */
  logoutCookie() { return `${COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict`; }

  /** The session of a request: {user, csrf_token, expires} or null. */
  session(headers) {
    const token = cookieValue(headers.cookie, COOKIE);
    if (!token) return null;
    const dot = token.indexOf('.');
    if (dot < 1 || !sameText(token.slice(dot + 1), this.#sign(`session ${token.slice(0, dot)}`))) return null;
    const { user, expires } = JSON.parse(Buffer.from(token.slice(0, dot), 'base64url').toString());
    if (expires * 1000 <= this.now() || user !== this.user) return null;
    return { user, csrf_token: this.#csrf(token), expires: new Date(expires * 1000).toISOString() };
  }

  /**
   * Who asks for a change. @param {object} headers  lower-case names @param {string} address
   * @returns {Promise<string>} the user's name
   * @throws AuthError 401 (not logged in, wrong password), 403 (no CSRF token), 429
   */
  async authorize(headers, address) {
    if (headers.authorization) {
      const [scheme, value] = headers.authorization.split(' ');
      if (scheme.toLowerCase() !== 'basic' || !value) throw new AuthError(401, 'Use HTTP Basic with the operator\'s name and password.');
      const text = Buffer.from(value, 'base64').toString();
      const colon = text.indexOf(':');
      await this.#check(text.slice(0, colon), text.slice(colon + 1), address);
      return this.user;
    }
    const session = this.session(headers);
    if (!session) throw new AuthError(401, 'Log in first.');
    if (!sameText(headers['x-csrf-token'], session.csrf_token)) throw new AuthError(403, 'The X-CSRF-Token header is missing or wrong: reload the page.');
    return session.user;
  }

  /**
   * The same for a flow: {actor} when the request may change something, else {status, answer} to send back.
   * @param {import('http').IncomingMessage} request  of an http-in node
   */
  gate(request) {
    return asAnswer(async () => ({ actor: await this.authorize(request.headers, addressOf(request)) }));
  }

  /** Login for a flow: {status, answer, headers} to send back. @param request  with `body` {user, password} */
  loginAnswer(request) {
    return asAnswer(async () => {
      const { user, password } = request.body ?? {};
      if (typeof user !== 'string' || typeof password !== 'string') throw new AuthError(400, 'Send {"user": …, "password": …} as JSON.');
      const secure = request.headers['x-forwarded-proto'] === 'https';
      const { cookie, ...session } = await this.login(user, password, addressOf(request), { secure });
      return { status: 200, answer: session, headers: { 'Set-Cookie': cookie, 'Cache-Control': 'no-store' } };
    });
  }

  async #check(name, password, address) {
    await this.guard.wait(address);
    // Both are compared always: the time must not tell which one was wrong.
    const good = Boolean(sameText(name, this.user) & sameText(password, this.password));
    this.guard.record(address, good);
    if (!good) throw new AuthError(401, 'Name or password is wrong.');
  }

  #csrf(token) { return this.#sign(`csrf ${token}`); }

  #sign(text) { return crypto.createHmac('sha256', this.key).update(text).digest('base64url'); }
}

async function asAnswer(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    return { status: error.status, answer: { error: error.message } };
  }
}

/** Nginx, the only one who can reach this port, names the client. */
const addressOf = (request) => request.headers['x-real-ip'] || request.socket.remoteAddress;

function cookieValue(header, name) {
  for (const part of (header || '').split(';')) {
    const equals = part.indexOf('=');
    if (equals > 0 && part.slice(0, equals).trim() === name) return part.slice(equals + 1).trim();
  }
  return null;
}

module.exports = { Auth, AuthError, LoginGuard, keyOfLogin, sameText };
