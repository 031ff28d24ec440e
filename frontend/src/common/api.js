// Requests to the own server. Every failure is an Error whose message is a sentence for a person.

import { t } from './texts.js';

/**
 * @typedef {object} Options
 * @property {string} [method]
 * @property {any} [body]  sent as JSON
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {number} [timeoutMs]
 */

const TIMEOUT_MS = 30_000;

/** A refused or failed request. */
export class ApiError extends Error {
  /**
   * @param {number} status  of HTTP; 0 when the server didn't answer
   * @param {string} sentence
   */
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Response>} an answer that is ok, or a 304
 * @throws {ApiError} when it is refused, fails or takes too long; what `signal` aborts throws its reason
 */
export async function request(path, { method = 'GET', body, headers = {}, signal, timeoutMs = TIMEOUT_MS } = {}) {
  const timeout = AbortSignal.timeout(timeoutMs);
  let answer;
  try {
    answer = await fetch(path, {
      method,
      cache: 'no-store',
      headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, timeout.aborted ? t('error.slow') : t('error.away'));
  }
  if (answer.ok || answer.status === 304) return answer;
  const told = await answer.json().then((found) => found.error, () => null);
  throw new ApiError(answer.status, typeof told === 'string' && told !== '' ? told : t('error.status', { status: answer.status }));
}

/**
 * The JSON of an answer.
 * @template T
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<T>}
 * @throws {ApiError} as request() does, and when the answer is no JSON
 */
export async function requestJson(path, options) {
  const answer = await request(path, options);
  return answer.json().catch(() => { throw new ApiError(answer.status, t('error.garbled')); });
}

/**
 * The sentence of whatever was thrown.
 * @param {unknown} error
 */
export const sentence = (error) => (error instanceof Error ? error.message : String(error));
