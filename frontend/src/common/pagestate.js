// What a page shows is in its address: inside the shell in the shell's address bar, otherwise in its own. And the keys that both share.

import './theme.js'; // every page follows the theme

export const KEYS_OFF = 'enms.keysOff';
const inShell = window.parent !== window;
/** @type {Set<() => void>} */
const listeners = new Set();
let state = new URLSearchParams(location.search);

/** A copy of the present parameters; setState changes them. */
export const pageState = () => new URLSearchParams(state);

/**
 * Changes parameters, here and in the address.
 * @param {Record<string, string|null>} changes  null or '' removes a parameter
 */
export function setState(changes) {
  const next = new URLSearchParams(state);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') next.delete(name);
    else next.set(name, value);
  }
  if (next.toString() === state.toString()) return;
  state = next;
  const query = state.toString();
  if (inShell) parent.postMessage({ enms: 'state', query }, location.origin);
  history.replaceState(null, '', query ? `?${query}` : location.pathname);
}

/**
 * Names what is shown, here and in the shell.
 * @param {string} title
 */
export function setTitle(title) {
  document.title = title;
  if (inShell) parent.postMessage({ enms: 'title', title }, location.origin);
}

/**
 * Calls back when the shell opens another address of the same page: a deep link, or a step back or forward.
 * @param {() => void} listener
 */
export const onState = (listener) => listeners.add(listener);

/** @param {string} query */
function arrive(query) {
  if (query === state.toString()) return;
  state = new URLSearchParams(query);
  for (const listener of listeners) listener();
}

addEventListener('message', (event) => {
  if (event.origin !== location.origin || event.data?.enms !== 'navigate') return;
  history.replaceState(null, '', event.data.query ? `?${event.data.query}` : location.pathname);
  arrive(event.data.query);
});

/**
 * The address of another view of the app; inside the shell it opens there.
 * @param {string} route  such as "devices?add=1"
 */
export const appLink = (route) => `/#/${route}`;

// The shell's keys work wherever the focus is.
if (inShell) {
  addEventListener('keydown', (event) => {
    if (!event.defaultPrevented && isShortcut(event)) parent.postMessage({ enms: 'key', key: event.key }, location.origin);
  });
  // A link into the app changes the shell, not the frame.
  addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a[href^="/#/"]') : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    parent.location.hash = link.getAttribute('href')?.slice(1) ?? '';
  });
}

/**
 * Whether a key may be a shortcut: it is pressed alone, and belongs to no field.
 * @param {KeyboardEvent} event
 */
export function isShortcut({ ctrlKey, metaKey, altKey, target }) {
  const inField = target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'SELECT', 'TEXTAREA'].includes(target.tagName));
  return !ctrlKey && !metaKey && !altKey && !inField;
}

/** Whether single keys are shortcuts. A person whose dictation or clumsy hand hits them can switch that off. */
export const keysOn = () => localStorage.getItem(KEYS_OFF) === null;
