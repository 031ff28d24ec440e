// The words of the app. Another language is another module like texts.en.js and one line here.

import { en } from './texts.en.js';

/** @type {Record<string, Record<string, string>>} */
const LANGUAGES = { en };
const language = navigator.languages.map((name) => name.split('-')[0]).find((name) => name in LANGUAGES) ?? 'en';
const words = LANGUAGES[language];

/**
 * The text of a key, `{name}` replaced.
 * @param {string} key
 * @param {Record<string, string|number|null>} [values]
 * @throws {Error} when the key is unknown: a fault of the program
 */
export function t(key, values = {}) {
  const text = words[key];
  if (text === undefined) throw new Error(`There is no text "${key}".`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}

/**
 * The text of a key that may be unknown, because it comes from outside: then the word itself.
 * @param {string} prefix
 * @param {string} value
 */
export const word = (prefix, value) => words[`${prefix}.${value}`] ?? value;

/** Fills in the texts of the page: data-t is the text, data-t-label the aria-label, data-t-placeholder the placeholder. */
export function fillTexts() {
  document.documentElement.lang = language;
  const each = (/** @type {string} */ name, /** @type {(node: Element, text: string) => void} */ fill) => {
    for (const node of document.querySelectorAll(`[${name}]`)) fill(node, t(node.getAttribute(name) ?? ''));
  };
  each('data-t', (node, text) => { node.textContent = text; });
  each('data-t-label', (node, text) => node.setAttribute('aria-label', text));
  each('data-t-placeholder', (node, text) => node.setAttribute('placeholder', text));
}
