// Light, dark or the system's theme. One choice for all pages: the storage event tells them of a change.

import { oneOf } from './choice.js';

export const THEMES = /** @type {const} */ (['system', 'light', 'dark']);
const KEY = 'enms.theme';

/** @typedef {typeof THEMES[number]} Theme */

/** What the person chose. */
export const chosenTheme = () => oneOf(localStorage.getItem(KEY), THEMES, 'system');

/** 'light' or 'dark', as it is now. */
export function shownTheme() {
  const chosen = chosenTheme();
  if (chosen !== 'system') return chosen;
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

/** @param {Theme} theme */
export function chooseTheme(theme) {
  localStorage.setItem(KEY, theme);
  apply();
}

function apply() {
  const chosen = chosenTheme();
  if (chosen === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  dispatchEvent(new Event('themechange'));
}

addEventListener('storage', (event) => {
  if (event.key === KEY) apply();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => dispatchEvent(new Event('themechange')));

/**
 * The colour of a token as a canvas understands it.
 * @param {string} token  such as "--leaf"
 */
export function colour(token) {
  const probe = document.createElement('span');
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
