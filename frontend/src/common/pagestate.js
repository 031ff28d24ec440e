// What a page shows is in its address. Inside the shell the shell's address bar holds it; alone, the page's own does.

import './theme.js'; // every page follows the theme

const inShell = window.parent !== window;
const listeners = new Set();
let state = new URLSearchParams(location.search);

/** The present parameters; change them with setState only. */
export const pageState = () => new URLSearchParams(state);

/** @param {Record<string, string|null>} changes  null removes a parameter */
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

/** Names what is shown, here and in the shell. @param {string} title */
export function setTitle(title) {
  document.title = title;
  if (inShell) parent.postMessage({ enms: 'title', title }, location.origin);
}

/** Calls back when the shell opens another address of the same page: a deep link, or a step back or forward. */
export const onState = (listener) => listeners.add(listener);

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

/** The address of another view of the app: opens inside the shell when we are in it. @param {string} route e.g. "devices?add=1" */
export const appLink = (route) => `/#/${route}`;

// The shell's keys work wherever the focus is.
if (inShell) {
  addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    parent.postMessage({ enms: 'key', key: event.key }, location.origin);
  });
  // A link into the app changes the shell, not the frame.
  addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a[href^="/#/"]') : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    parent.location.hash = link.getAttribute('href')?.slice(1) ?? '';
  });
}

/** Whether a key belongs to a field. */
export function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'SELECT', 'TEXTAREA'].includes(target.tagName));
}
