// What the back of a passport and the dialog of a print tell alike: the job, its parts, its picture.

import { h } from '../common/dom.js';
import { NONE, duration, grams, kwh, number, percent, shorten } from '../common/format.js';
import { icon } from '../common/icons.js';
import { t } from '../common/texts.js';

const MOST_PARTS = 30;

/** A part of a page with its heading. @param {string} key  of the text */
export const section = (key, ...children) => h('section', {}, h('h3', { text: t(key) }), ...children);
/** A figure as one text. @param {[string, string?]} shown */
export const words = (shown) => shown.filter(Boolean).join(' ');

/** Names and values in two columns. @param {[string, string][]} rows  key of the name's text, and the value */
export const pairs = (rows) => h('dl', { class: 'pairs' }, ...rows.map(([key, value]) => h('div', {}, h('dt', { text: t(key) }), h('dd', { text: value }))));

/** The picture of a print, or its place. @param {string|null} url */
export const picture = (url) => (url ? h('img', { class: 'picture', src: url, alt: '', loading: 'lazy' }) : h('span', { class: 'picture', 'aria-hidden': 'true' }, icon('part')));

/** What the G-code says of the job; null when it says nothing. @param {any} found  job_details of the API */
export function jobSection(found) {
  if (!found) return null;
  const size = found.object_dimensions_mm;
  const rows = [
    ['layer', found.layer_height_mm, (value) => `${number(value, 2)} mm`], ['infill', found.infill_density_percent, (value) => percent(value)],
    ['supports', found.supports_enabled, (value) => t(value ? 'detail.yes' : 'detail.no')], ['nozzle', found.nozzle_diameter_mm, (value) => `${number(value, 2)} mm`],
    ['size', size, (value) => `${[value.x, value.y, value.z].map((side) => number(side)).join(' × ')} mm`],
    ['material', found.estimated_material_g, (value) => words(grams(value))], ['estimate', found.estimated_print_time_s, duration], ['profile', found.slicer_profile_name, String],
  ].filter(([, value]) => value !== null);
  if (rows.length === 0) return null;
  return section('detail.job', pairs(rows.map(([name, value, show]) => [`detail.${name}`, /** @type {any} */ (show)(value)])));
}

/** Shares of the parts of a print; null when it has one. @param {any} found  per_part_analysis of the API @param {string} heading  key of the text */
export function partsSection(found, heading) {
  if (!Array.isArray(found) || found.length < 2) return null;
  return section(heading, h('table', { class: 'plain-table' }, h('tbody', {}, ...found.slice(0, MOST_PARTS).map((part, i) => h('tr', {},
    h('th', { scope: 'row', text: shorten(String(part.name ?? t('detail.part', { number: i + 1 }))) }),
    h('td', { class: 'number', text: part.energy_share == null ? NONE : percent(100 * part.energy_share, 1) }),
    h('td', { class: 'number', text: part.energy_wh == null ? '' : words(kwh(part.energy_wh / 1000)) }))))));
}
