// The words of the app. Another language is another module like texts.en.js and one line here.

import { en } from './texts.en.js';

const LANGUAGES = { en };
const language = navigator.languages.map((name) => name.split('-')[0]).find((name) => name in LANGUAGES) ?? 'en';
const words = LANGUAGES[language];

/**
 * The text of a key, `{name}` replaced. An unknown key is a fault of the program.
 * @param {string} key
 * @param {Record<string, string|number|null>} [values]
 */
export function t(key, values = {}) {
  const text = words[key];
  if (text === undefined) throw new Error(`There is no text "${key}".`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}

/** The text of a key that may be unknown, because it comes from outside: then the word itself. */
export const word = (prefix, value) => words[`${prefix}.${value}`] ?? String(value);

/** Fills in the texts of a document: data-t is the text, data-t-label the aria-label, data-t-placeholder the placeholder. */
export function fillTexts(root = document) {
  document.documentElement.lang = language;
  for (const node of root.querySelectorAll('[data-t]')) node.textContent = t(node.getAttribute('data-t') ?? '');
  for (const node of root.querySelectorAll('[data-t-label]')) node.setAttribute('aria-label', t(node.getAttribute('data-t-label') ?? ''));
  for (const node of root.querySelectorAll('[data-t-placeholder]')) node.setAttribute('placeholder', t(node.getAttribute('data-t-placeholder') ?? ''));
}
