// The summary, asked for every 5 s with its ETag: unchanged costs a 304. Hidden pages rest, an absent server is asked more and more seldom.

import { request } from './api.js';
import { knowZone } from './clock.js';

const POLL_MS = 5000;
const SLOWEST_MS = 60_000;
const TIMEOUT_MS = 10_000;

/**
 * @template T
 * @param {string} url
 * @param {(answer: T) => void} show  called with each answer that differs from the one before
 * @param {(state: {failures: number, error: string|null, status: number|null, lastGood: number|null}) => void} tell  called after each attempt; lastGood is in ms
 * @param {{everyMs?: number}} [options]
 * @returns {{now: () => Promise<void>}}  now: asks at once
 */
export function poll(url, show, tell, { everyMs = POLL_MS } = {}) {
  let tag = /** @type {string|null} */ (null);
  let failures = 0;
  let lastGood = /** @type {number|null} */ (null);
  let timer;
  let running = false;
  let again = false; // somebody asked for news while an answer was under way

  async function now() {
    clearTimeout(timer);
    again = running;
    if (document.hidden || running) return;
    running = true;
    let error = null;
    let status = null;
    try {
      const [answer] = await Promise.all([request(url, { headers: tag ? { 'If-None-Match': tag } : {}, timeoutMs: TIMEOUT_MS }), knowZone().catch(() => null)]);
      if (answer.status !== 304) {
        const body = await answer.json();
        tag = answer.headers.get('ETag');
        show(body);
      }
      failures = 0;
      lastGood = Date.now();
    } catch (caught) {
      failures += 1;
      error = caught.message;
      status = caught.status ?? null;
      if (!('status' in caught)) console.error(caught);
    }
    running = false;
    tell({ failures, error, status, lastGood });
    // The first retries are quick: most absences are a restart.
    timer = setTimeout(now, again ? 0 : failures === 0 ? everyMs : Math.min(SLOWEST_MS, everyMs * 2 ** Math.max(0, Math.min(failures - 3, 4))));
  }

  document.addEventListener('visibilitychange', () => { if (!document.hidden) now(); });
  addEventListener('online', now);
  now();
  return { now };
}

/** Where the summary is; a page's ?scenario= is passed on. @param {URLSearchParams} state */
export function summaryUrl(state) {
  const scenario = state.get('scenario');
  return scenario ? `/api/dpp_summary?scenario=${encodeURIComponent(scenario)}` : '/api/dpp_summary';
}

/** Shows in `line` (a .notice) that the server is away, hides it when it is back. */
export function connectionNotice(line, t, moment) {
  return ({ failures, error, lastGood }) => {
    line.hidden = failures === 0;
    if (failures > 0) line.textContent = lastGood === null ? t('connection.first', { error }) : t('connection.stale', { error, time: moment(lastGood) });
  };
}
