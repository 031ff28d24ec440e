// Elements without a framework. What comes from outside is always set as text, never as markup.

/** @import { Elements } from './elements.d.ts' */
/** @import { Figure } from './types.d.ts' */
/** @typedef {Record<string, string|number|boolean|null|undefined|((event: any) => void)>} Attributes */
/** @typedef {Node|string|null|undefined|false} Child */

/**
 * Returns a new element. Keys of `attributes`: `text`, `on…` listeners, `class`, `data-…`, `aria-…` and other attributes;
 * null and false leave one out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * The same in SVG.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

/**
 * @template {Element} Made
 * @param {Made} made
 * @param {Attributes} attributes
 * @param {Child[]} children
 */
function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') made.addEventListener(name.slice(2), value);
    else if (name === 'text') made.textContent = String(value);
    else made.setAttribute(name, value === true ? '' : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/**
 * The element of the page with an id; it must be there.
 * @template {string} Id
 * @param {Id} id
 * @returns {Id extends keyof Elements ? Elements[Id] : HTMLElement}
 */
export const byId = (id) => /** @type {any} */ (document.getElementById(id));

/**
 * Sets a text only when it differs, so that an unchanged page is not laid out again.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Shows a sentence in a `.notice`; '' hides it.
 * @param {HTMLElement} node
 * @param {string} sentence
 */
export function setNotice(node, sentence) {
  node.hidden = sentence === '';
  setText(node, sentence);
}

const FOCUSABLE = 'a, button, select, input';

/**
 * Draws a list again without taking the focus from a person who walks through it by keyboard.
 * @param {HTMLElement} node
 * @param {Node[]} children
 * @param {string} key  the attribute that tells the children apart
 */
export function redraw(node, children, key) {
  const active = document.activeElement;
  const holder = active && node.contains(active) ? active.closest(`[${key}]`) : null;
  const nth = active && holder ? [...holder.querySelectorAll(FOCUSABLE)].indexOf(active) : -1;
  node.replaceChildren(...children);
  if (!holder) return;
  const again = node.querySelector(`[${key}="${CSS.escape(holder.getAttribute(key) ?? '')}"]`);
  /** @type {HTMLElement|undefined} */ (again?.querySelectorAll(FOCUSABLE)[nth])?.focus({ preventScroll: true });
}

/**
 * A text that may break after the marks inside file names. The text itself is unchanged.
 * @param {string} text
 * @returns {(Node|string)[]}
 */
export const breakable = (text) => text.split(/(?<=[_.-])(?=\p{L})/u).flatMap((part, i) => (i ? [h('wbr'), part] : [part]));

/**
 * A figure of format.js as text and, smaller, its unit.
 * @param {Figure} figure
 * @returns {(Node|string)[]}
 */
export const figureParts = ([value, unit]) => (unit ? [value, h('span', { class: 'unit', text: unit })] : [value]);

/**
 * Shows a figure of format.js in a node.
 * @param {HTMLElement} node
 * @param {Figure} figure
 */
export function setFigure(node, figure) {
  const key = figure.join(' ');
  if (node.dataset.shown === key) return;
  node.dataset.shown = key;
  node.replaceChildren(...figureParts(figure));
}

/**
 * A named figure, for a `<dl>`.
 * @param {string} name
 * @param {Figure} shown
 * @param {string} [extra]  classes
 */
export function figure(name, shown, extra = '') {
  const value = h('dd');
  setFigure(value, shown);
  return h('div', { class: `figure ${extra}`.trim() }, h('dt', { text: name }), value);
}

/**
 * Shows a word with the dot of its tone.
 * @param {HTMLElement} node  a `.status`
 * @param {string} text
 * @param {string} tone
 */
export function setBadge(node, text, tone) {
  setText(node, text);
  node.dataset.tone = tone;
}

/**
 * A new one.
 * @param {string} text
 * @param {string} tone
 */
export const badge = (text, tone) => h('span', { class: 'status', 'data-tone': tone, text });

/** The size of 1 rem, px. */
export const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

/**
 * Saves a file on the person's machine.
 * @param {string} name
 * @param {Blob|string} content
 * @param {string} [type]  of a text
 */
export function download(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  h('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
