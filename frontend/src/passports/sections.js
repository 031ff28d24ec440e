// What the back of a passport and the dialog of a print show alike: the job, its parts, its picture.

import { figure, h } from '../common/dom.js';
import { NONE, duration, grams, kwh, money, number, percent, shorten } from '../common/format.js';
import { icon } from '../common/icons.js';
import { t } from '../common/texts.js';

/** @import { Child } from '../common/dom.js' */
/** @import { JobDetails, Parts } from '../common/types.d.ts' */

const MOST_PARTS = 30;

/**
 * A part of a page with its heading.
 * @param {string} key  of the heading's text
 * @param {...Child} children
 */
export const section = (key, ...children) => h('section', {}, h('h3', { text: t(key) }), ...children);

/**
 * Names and values in two columns.
 * @param {[key: string, value: string][]} rows  key of the name's text, and the value
 */
export const pairs = (rows) => h('dl', { class: 'pairs' }, ...rows.map(([key, value]) => h('div', {},
  h('dt', { text: t(key) }), h('dd', { text: value }))));

/**
 * A small table: in each row a name and figures.
 * @param {[name: Child|Child[], ...figures: string[]][]} rows
 */
export const table = (rows) => h('table', { class: 'plain-table' }, h('tbody', {}, ...rows.map(([name, ...figures]) => h('tr', {},
  h('th', { scope: 'row' }, ...[name].flat()), ...figures.map((text) => h('td', { class: 'number', text }))))));

/**
 * The picture of a print, or its place.
 * @param {string|null} url
 */
export const picture = (url) => (url
  ? h('img', { class: 'picture', src: url, alt: '', loading: 'lazy' })
  : h('span', { class: 'picture', 'aria-hidden': 'true' }, icon('part')));

/**
 * How long a print took, pauses included, s; null while it runs.
 * @param {{startedAt: string, completedAt: string|null}} print
 */
export function printSeconds({ startedAt, completedAt }) {
  return completedAt === null ? null : (Date.parse(completedAt) - Date.parse(startedAt)) / 1000;
}

/**
 * Energy, cost and CO2, for a `<dl>`.
 * @param {{kwh: number|null, cost: number|null, currency: string|null, co2g: number|null}} account
 */
export const accountFigures = ({ kwh: energy, cost, currency, co2g }) => [
  figure(t('col.energy'), kwh(energy), 'hero'),
  figure(t('col.cost'), money(cost, currency), 'hero'),
  figure(t('col.co2'), grams(co2g), 'hero'),
];

/**
 * What the G-code says of a print; null when it says nothing.
 * @param {JobDetails|null} found
 */
export function jobSection(found) {
  if (!found) return null;
  const rows = [
    row('detail.layer', found.layer_height_mm, millimetres),
    row('detail.infill', found.infill_density_percent, percent),
    row('detail.supports', found.supports_enabled, (supports) => t(supports ? 'detail.yes' : 'detail.no')),
    row('detail.nozzle', found.nozzle_diameter_mm, millimetres),
    row('detail.size', found.object_dimensions_mm, ({ x, y, z }) => `${[x, y, z].map((side) => number(side)).join(' × ')} mm`),
    row('detail.material', found.estimated_material_g, (weight) => grams(weight).join(' ')),
    row('detail.estimate', found.estimated_print_time_s, duration),
    row('detail.profile', found.slicer_profile_name, String),
  ].filter((one) => one !== null);
  return rows.length === 0 ? null : section('detail.job', pairs(rows));
}

/**
 * @template Value
 * @param {string} key
 * @param {Value|null} value
 * @param {(value: Value) => string} show
 * @returns {[string, string]|null}
 */
const row = (key, value, show) => (value === null ? null : [key, show(value)]);

const millimetres = (/** @type {number} */ value) => `${number(value, 2)} mm`;

/**
 * Shares of the parts of a print; null when it has one.
 * @param {Parts|undefined} found
 * @param {string} heading  key of its text
 */
export function partsSection(found, heading) {
  if (!Array.isArray(found) || found.length < 2) return null;
  return section(heading, table(found.slice(0, MOST_PARTS).map(({ name, energy_share: share, energy_wh: wh }, i) => [
    shorten(String(name ?? t('detail.part', { number: i + 1 }))),
    share == null ? NONE : percent(100 * share, 1),
    wh == null ? '' : kwh(wh / 1000).join(' '),
  ])));
}
