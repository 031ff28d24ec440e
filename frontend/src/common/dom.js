// Elements without a framework. What comes from outside is always set as text, never as markup.

/**
 * An element. Keys of `attributes`: `class`, `text`, `on…` listeners, `data-…`/`aria-…` and other attributes; null and false leave one out.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {any} an HTMLElement of that tag
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. @returns {any} */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'text') made.textContent = value;
    else if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** Sets a text only when it differs, so that an unchanged page is not laid out again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const FOCUSABLE = 'a, button, select, input';

/**
 * Draws a list anew without taking the focus from who walks through it by keyboard.
 * @param {HTMLElement} node @param {Node[]} children @param {string} key  the attribute that tells the children apart
 */
export function redraw(node, children, key) {
  const active = /** @type {Element} */ (document.activeElement);
  const holder = node.contains(active) ? active.closest(`[${key}]`) : null;
  const nth = holder ? [...holder.querySelectorAll(FOCUSABLE)].indexOf(active) : -1;
  node.replaceChildren(...children);
  if (!holder) return;
  const again = node.querySelector(`[${key}="${CSS.escape(holder.getAttribute(key) ?? '')}"]`);
  /** @type {HTMLElement|undefined} */ (again?.querySelectorAll(FOCUSABLE)[nth])?.focus({ preventScroll: true });
}

/** A text that may break after the marks inside file names. The text itself is unchanged. */
export const breakable = (text) => text.split(/(?<=[_.\-])(?=\p{L})/u).flatMap((part, i) => (i ? [h('wbr'), part] : [part]));

/**
 * Shows a figure of format.js in a node.
 * @param {HTMLElement} node
 * @param {[string, string?]} figure  value and unit
 */
export function setFigure(node, [value, unit]) {
  const key = `${value} ${unit ?? ''}`;
  if (node.dataset.shown === key) return;
  node.dataset.shown = key;
  node.replaceChildren(value, ...(unit ? [h('span', { class: 'unit', text: unit })] : []));
}

/**
 * A named figure, for a `<dl>`.
 * @param {string} name @param {[string, string?]} shown @param {string} [extra]  classes
 */
export function figure(name, shown, extra = '') {
  const value = h('dd');
  setFigure(value, shown);
  return h('div', { class: `figure ${extra}`.trim() }, h('dt', { text: name }), value);
}

/** Hands a made file to the person. */
export function download(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  h('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
