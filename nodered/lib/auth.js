'use strict';
// Who may change something: a signed session cookie with a CSRF token, or HTTP Basic for scripts. Failed logins are
// slowed down.

/** @import { IncomingHttpHeaders } from 'node:http' */
/** @import { Request } from './types' */

const crypto = require('node:crypto');
const { BoundedMap } = require('./bounded-map');

const COOKIE = 'enms_session';
const COOKIE_RULES = 'HttpOnly; SameSite=Strict';
const SESSION_SECONDS = 12 * 3600;
const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30000;
const FORGET_MS = 15 * 60000;
const ADDRESSES_REMEMBERED = 1000;
const TOTAL_FACTOR = 10;
const WAITING_AT_MOST = 50;

/**
 * @typedef {{user: string, password: string}} Login
 * @typedef {{user: string, csrf_token: string, expires: string}} Session  expires: ISO 8601
 * @typedef {{count: number, at: number}} Failures  at: milliseconds since 1970
 * @typedef {{status: number, answer: {error: string}}} Refusal  what to send back
 */

/**
 * Equality that takes the same time wherever the texts differ.
 * @param {unknown} a
 * @param {unknown} b
 * @returns {boolean}
 */
function sameText(a, b) {
  /** @param {unknown} text */
  const digest = (text) => crypto.createHash('sha256').update(String(text ?? '')).digest();
  return crypto.timingSafeEqual(digest(a), digest(b));
}

/**
 * Whether name and password are those of the login. Both are compared always: the time must not show which one was
 * wrong.
 * @param {unknown} name
 * @param {unknown} password
 * @param {Login} login
 * @returns {boolean}
 */
function sameLogin(name, password, login) {
  const right = [sameText(name, login.user), sameText(password, login.password)];
  return right.every(Boolean);
}

/** Slows down failed logins per address, and all of them together when many addresses try. Memory is bounded. */
class LoginGuard {
  /** @param {{now?: () => number, sleep?: (ms: number) => Promise<void>}} [clock]  milliseconds */
  constructor({ now = Date.now, sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)) } = {}) {
    this.now = now;
    this.sleep = sleep;
    /** @type {BoundedMap<string, Failures>} */
    this.failures = new BoundedMap(ADDRESSES_REMEMBERED);
    /** @type {Failures} */
    this.total = { count: 0, at: 0 };
    this.waiting = 0;
  }

  /**
   * How long a login has to wait.
   * @param {string} address  where it comes from
   * @returns {number} milliseconds
   */
  delay(address) {
    const ofAddress = this.#delayOf(this.failures.get(address), FREE_FAILURES);
    return Math.max(ofAddress, this.#delayOf(this.total, FREE_FAILURES * TOTAL_FACTOR));
  }

  /**
   * Waits before the password is looked at.
   * @param {string} address
   * @returns {Promise<void>}
   * @throws {AuthError} 429 when too many logins wait already
   */
  async wait(address) {
    const milliseconds = this.delay(address);
    if (milliseconds === 0) return;
    if (this.waiting >= WAITING_AT_MOST) {
      throw new AuthError(429, 'Too many failed logins: wait a minute and try again.');
    }
    this.waiting += 1;
    try {
      await this.sleep(milliseconds);
    } finally {
      this.waiting -= 1;
    }
  }

  /**
   * Counts a login. A success forgets the failures of its address.
   * @param {string} address
   * @param {boolean} succeeded
   */
  record(address, succeeded) {
    const now = this.now();
    const known = this.failures.get(address);
    this.failures.delete(address);
    if (succeeded) return;
    this.failures.set(address, { count: this.#current(known) + 1, at: now });
    this.total = { count: this.#current(this.total) + 1, at: now };
  }

  /** @param {Failures | undefined} failures */
  #current(failures) { return failures && this.now() - failures.at < FORGET_MS ? failures.count : 0; }

  /**
   * @param {Failures | undefined} failures
   * @param {number} free  how many cost nothing
   */
  #delayOf(failures, free) {
    const count = this.#current(failures) - free;
    return count < 0 ? 0 : Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(count, 16));
  }
}

/**
 * A key that only this login with this secret gives: a new password makes everything signed with the old one void.
 * @param {Login & {secret: string}} login
 * @param {string} purpose  keys of different purposes are worth nothing for each other
 * @returns {Buffer}
 */
function keyOfLogin({ user, password, secret }, purpose) {
  return crypto.createHmac('sha256', secret).update(JSON.stringify([purpose, user, password])).digest();
}

/** Why a request is refused. */
class AuthError extends Error {
  /**
   * @param {number} status  HTTP status
   * @param {string} sentence  for the person
   */
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** Sessions of the one operator. They are kept nowhere: a cookie carries its user and end, signed. */
class Auth {
  #key;

  /**
   * @param {Login & {secret: string, now?: () => number, guard?: LoginGuard}} options
   * @throws {Error} when password or secret is missing: an open door must not be the default
   */
  constructor({ user, password, secret, now = Date.now, guard = new LoginGuard() }) {
    if (!password) throw new Error('ENMS_EDITOR_PASSWORD is not set');
    if (!secret) throw new Error('ENMS_SECRET_KEY is not set');
    this.user = user;
    this.password = password;
    this.now = now;
    this.guard = guard;
    this.#key = keyOfLogin({ user, password, secret }, 'enms session');
  }

  /**
   * @param {string} name
   * @param {string} password
   * @param {string} address  where the login comes from
   * @param {{secure?: boolean}} [connection]  secure: the browser came by HTTPS
   * @returns {Promise<Session & {cookie: string}>} cookie: a Set-Cookie value
   * @throws {AuthError} 401, 429
   */
  async login(name, password, address, { secure = false } = {}) {
    await this.#check(name, password, address);
    const expires = Math.floor(this.now() / 1000) + SESSION_SECONDS;
    const content = { user: this.user, expires, nonce: crypto.randomBytes(12).toString('base64url') };
    const body = Buffer.from(JSON.stringify(content)).toString('base64url');
    const token = `${body}.${this.#sign(`session ${body}`)}`;
    return {
      ...this.#sessionOf(token, expires),
      cookie: `${COOKIE}=${token}; Path=/; Max-Age=${SESSION_SECONDS}; ${COOKIE_RULES}${secure ? '; Secure' : ''}`,
    };
  }

  /** @returns {string} the Set-Cookie value that ends a session in the browser */
  logoutCookie() { return `${COOKIE}=; Path=/; Max-Age=0; ${COOKIE_RULES}`; }

  /**
   * The session of a request.
   * @param {IncomingHttpHeaders} headers
   * @returns {Session | null} null when there is none, or its time is over
   */
  session(headers) {
    const token = cookieValue(headers.cookie, COOKIE);
    if (!token) return null;
    const dot = token.indexOf('.');
    if (dot < 1 || !sameText(token.slice(dot + 1), this.#sign(`session ${token.slice(0, dot)}`))) return null;
    const { user, expires } = JSON.parse(Buffer.from(token.slice(0, dot), 'base64url').toString());
    return expires * 1000 <= this.now() || user !== this.user ? null : this.#sessionOf(token, expires);
  }

  /**
   * Who wants to change something.
   * @param {IncomingHttpHeaders} headers
   * @param {string} address
   * @returns {Promise<string>} the user's name
   * @throws {AuthError} 401 (not logged in, wrong password), 403 (no CSRF token), 429
   */
  async authorize(headers, address) {
    if (headers.authorization) {
      const [scheme, value] = headers.authorization.split(' ');
      if (scheme.toLowerCase() !== 'basic' || !value) {
        throw new AuthError(401, 'Use HTTP Basic with the operator\'s name and password.');
      }
      const text = Buffer.from(value, 'base64').toString();
      const colon = text.indexOf(':');
      await this.#check(text.slice(0, colon), text.slice(colon + 1), address);
      return this.user;
    }
    const session = this.session(headers);
    if (!session) throw new AuthError(401, 'Log in first.');
    if (!sameText(headers['x-csrf-token'], session.csrf_token)) {
      throw new AuthError(403, 'The X-CSRF-Token header is missing or wrong: reload the page.');
    }
    return session.user;
  }

  /**
   * The same for a flow.
   * @param {Request} request  of an http-in node
   * @returns {Promise<{actor: string} | Refusal>} the actor when the request may change something
   */
  gate(request) {
    return orRefusal(async () => ({ actor: await this.authorize(request.headers, addressOf(request)) }));
  }

  /**
   * Login for a flow.
   * @param {Request} request  with `body` {user, password}
   * @returns {Promise<{status: number, answer: Session, headers: Record<string, string>} | Refusal>} what to send back
   */
  loginAnswer(request) {
    return orRefusal(async () => {
      const { user, password } = request.body ?? {};
      if (typeof user !== 'string' || typeof password !== 'string') {
        throw new AuthError(400, 'Send {"user": …, "password": …} as JSON.');
      }
      const secure = request.headers['x-forwarded-proto'] === 'https';
      const { cookie, ...session } = await this.login(user, password, addressOf(request), { secure });
      return { status: 200, answer: session, headers: { 'Set-Cookie': cookie, 'Cache-Control': 'no-store' } };
    });
  }

  /**
   * @param {string} name
   * @param {string} password
   * @param {string} address
   */
  async #check(name, password, address) {
    await this.guard.wait(address);
    const good = sameLogin(name, password, this);
    this.guard.record(address, good);
    if (!good) throw new AuthError(401, 'Name or password is wrong.');
  }

  /**
   * @param {string} token
   * @param {number} expires  seconds since 1970
   * @returns {Session}
   */
  #sessionOf(token, expires) {
    const csrf_token = this.#sign(`csrf ${token}`);
    return { user: this.user, csrf_token, expires: new Date(expires * 1000).toISOString() };
  }

  /** @param {string} text */
  #sign(text) { return crypto.createHmac('sha256', this.#key).update(text).digest('base64url'); }
}

/**
 * The result of the work, or the refusal that it ended in.
 * @template Result
 * @param {() => Promise<Result>} work
 * @returns {Promise<Result | Refusal>}
 */
async function orRefusal(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    return { status: error.status, answer: { error: error.message } };
  }
}

/**
 * Nginx, the only one who can reach this port, names the client.
 * @param {Request} request
 */
const addressOf = (request) => String(request.headers['x-real-ip'] || request.socket.remoteAddress);

/**
 * @param {string | undefined} header
 * @param {string} name
 */
function cookieValue(header, name) {
  for (const part of (header || '').split(';')) {
    const equals = part.indexOf('=');
    if (equals > 0 && part.slice(0, equals).trim() === name) return part.slice(equals + 1).trim();
  }
  return null;
}

module.exports = { Auth, LoginGuard, keyOfLogin, sameLogin, sameText };
