// Asks again and again, with the ETag of the last answer: unchanged costs a 304. A hidden page rests; a server that is away is asked less and less often.

import { ApiError, request, sentence } from './api.js';
import { knowZone } from './clock.js';
import { setNotice } from './dom.js';
import { moment } from './format.js';
import { t } from './texts.js';

/**
 * @typedef {object} Attempt  how the last request went
 * @property {number} failures  in a row
 * @property {string} error  a sentence; '' after an answer
 * @property {number|null} status  of HTTP; 0 when the server didn't answer, null when it has nothing to do with the server
 * @property {number|null} lastGood  when the last answer came, ms
 */

const POLL_MS = 5000;
const SLOWEST_MS = 60_000;
const TIMEOUT_MS = 10_000;

/**
 * @template T
 * @param {string} url
 * @param {(answer: T) => void} show  called with each answer that differs from the one before
 * @param {object} [options]
 * @param {(attempt: Attempt) => void} [options.tell]  called after each attempt
 * @param {number} [options.everyMs]
 * @returns {() => Promise<void>} asks at once
 */
export function poll(url, show, { tell, everyMs = POLL_MS } = {}) {
  let tag = /** @type {string|null} */ (null);
  let failures = 0;
  let lastGood = /** @type {number|null} */ (null);
  let timer = /** @type {ReturnType<typeof setTimeout>|undefined} */ (undefined);
  let running = false;
  let again = false; // news were asked for while a request was under way

  async function now() {
    clearTimeout(timer);
    again = running;
    if (document.hidden || running) return;
    running = true;
    let error = '';
    let status = null;
    try {
      const [answer] = await Promise.all([
        request(url, { headers: tag ? { 'If-None-Match': tag } : {}, timeoutMs: TIMEOUT_MS }), knowZone().catch(() => null),
      ]);
      if (answer.status !== 304) {
        const body = await answer.json();
        tag = answer.headers.get('ETag');
        show(body);
      }
      failures = 0;
      lastGood = Date.now();
    } catch (caught) {
      failures += 1;
      error = sentence(caught);
      if (caught instanceof ApiError) ({ status } = caught);
      else console.error(caught);
    }
    running = false;
    tell?.({ failures, error, status, lastGood });
    // The first retries are quick: most absences are a restart.
    const pauseMs = Math.min(SLOWEST_MS, everyMs * 2 ** Math.max(0, Math.min(failures - 3, 4)));
    timer = setTimeout(now, again ? 0 : pauseMs);
  }

  document.addEventListener('visibilitychange', () => { if (!document.hidden) now(); });
  addEventListener('online', now);
  now();
  return now;
}

/**
 * Where the summary is; a page's ?scenario= is passed on.
 * @param {URLSearchParams} state
 */
export function summaryUrl(state) {
  const scenario = state.get('scenario');
  return scenario ? `/api/dpp_summary?scenario=${encodeURIComponent(scenario)}` : '/api/dpp_summary';
}

/**
 * For `tell`: shows in a `.notice` that the server is away, hides it when it is back.
 * @param {HTMLElement} node
 * @returns {(attempt: Attempt) => void}
 */
export function connectionNotice(node) {
  return ({ failures, error, lastGood }) => {
    if (failures === 0) setNotice(node, '');
    else setNotice(node, lastGood === null ? t('connection.first', { error }) : t('connection.stale', { error, time: moment(lastGood) }));
  };
}
