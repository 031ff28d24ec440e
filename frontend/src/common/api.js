// Requests to the own server. Every failure is an Error whose message is a sentence for a person.

import { t } from './texts.js';

const TIMEOUT_MS = 30_000;

/** A refused or failed request. `status` is 0 when the server didn't answer. */
export class ApiError extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {{method?: string, body?: any, headers?: Record<string, string>, signal?: AbortSignal, timeoutMs?: number}} [options]  body is sent as JSON
 * @returns {Promise<Response>} an answer that is ok, or a 304
 * @throws {ApiError}
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

/** The JSON of an answer. */
export async function requestJson(path, options) {
  const answer = await request(path, options);
  return answer.json().catch(() => { throw new ApiError(answer.status, t('error.garbled')); });
}
