// The fields of the form, and which of them a kind of connection needs.

import { h } from '../common/dom.js';
import { t, word } from '../common/texts.js';

/** @import { Device } from '../common/types.d.ts' */

/**
 * @typedef {object} Field
 * @property {string} name  a column of the registry
 * @property {string} text  its key in the texts
 * @property {'number'} [kind]
 * @property {string[]} [options]
 * @property {string} [words]  the options' key in the texts
 * @property {string[]} [for]  the sources that it belongs to
 * @property {boolean} [stored]  never shown; empty keeps what is stored
 * @property {boolean} [hint]
 * @property {boolean} [more]  among the fields that are rarely needed
 * @property {boolean} [required]
 * @property {string} [list]  the id of its suggestions
 */

/**
 * @typedef {object} Fields
 * @property {(name: string) => HTMLInputElement|HTMLSelectElement} input
 * @property {() => Values} body  the whole device
 * @property {() => Values} changes  what differs from the device as it was
 * @property {() => boolean} testable  whether all that a new connection needs is filled in
 */

/** @typedef {Record<string, string|number|null>} Values */

const SOURCES = ['prusalink', 'octoprint', 'moonraker', 'simplyprint', 'mqtt', 'none'];
const TYPES = ['printer', 'compressor', 'hvac', 'motor', 'pump', 'injection_molding', 'conveyor', 'boiler', 'other'];
const PLANTS = ['generic_plant', 'corn', 'sunflower', 'tomato'];
const ASKED = ['prusalink', 'octoprint', 'moonraker'];
/** What each kind of connection cannot do without. @type {Record<string, string[]>} */
const NEEDED = {
  prusalink: ['api_ip', 'api_key'],
  octoprint: ['api_ip', 'api_key'],
  moonraker: ['api_ip'],
  simplyprint: ['simplyprint_id', 'sp_company_id', 'sp_api_key'],
};

/** @type {Field[]} */
const FIELDS = [
  { name: 'friendly_name', text: 'name', required: true },
  { name: 'device_id', text: 'id', hint: true, required: true },
  { name: 'source', text: 'source', options: SOURCES, words: 'source' },
  { name: 'api_ip', text: 'host', hint: true, for: ASKED, required: true },
  { name: 'api_key', text: 'key', stored: true, for: ASKED },
  { name: 'simplyprint_id', text: 'spId', for: ['simplyprint'], required: true },
  { name: 'sp_company_id', text: 'spCompany', for: ['simplyprint'], required: true },
  { name: 'sp_api_key', text: 'spKey', stored: true, for: ['simplyprint'] },
  { name: 'shelly_id', text: 'plug', hint: true, list: 'plugs' },
  { name: 'device_model', text: 'model', more: true },
  { name: 'location', text: 'location', more: true },
  { name: 'device_type', text: 'type', options: TYPES, words: 'type', more: true },
  { name: 'plant_type', text: 'plant', options: PLANTS, words: 'species', more: true },
  { name: 'bed_width', text: 'bedWidth', kind: 'number', more: true },
  { name: 'bed_depth', text: 'bedDepth', kind: 'number', more: true },
  { name: 'idle_power_w', text: 'idle', kind: 'number', more: true },
  { name: 'rated_power_w', text: 'rated', kind: 'number', more: true },
];
const DEFAULTS = { source: 'prusalink', device_type: 'printer', plant_type: 'generic_plant' };

/**
 * Builds the fields of a device into `place`.
 * @param {HTMLElement} place
 * @param {Device|null} device  null: a new one
 * @param {string[]} plugs  meters to offer
 * @returns {Fields}
 */
export function deviceFields(place, device, plugs) {
  const rows = FIELDS.map((field) => fieldRow(field, device));
  const inputs = new Map(rows.map(({ field, input }) => [field.name, input]));
  const input = (/** @type {string} */ name) => /** @type {HTMLInputElement|HTMLSelectElement} */ (inputs.get(name));
  const belongs = (/** @type {Field} */ field) => field.for === undefined || field.for.includes(input('source').value);

  const part = (/** @type {boolean} */ more) => h('div', { class: 'fields' }, ...rows.filter(({ field }) => Boolean(field.more) === more).map(({ row }) => row));
  place.replaceChildren(part(false), h('details', {}, h('summary', { text: t('form.more') }), part(true)),
    h('datalist', { id: 'plugs' }, ...plugs.map((value) => h('option', { value }))));

  const showFor = () => {
    for (const { field, row } of rows) row.hidden = !belongs(field);
  };
  input('source').onchange = showFor;
  showFor();

  // A new printer's short name follows its name until somebody writes one.
  if (!device) {
    let own = false;
    input('device_id').addEventListener('input', () => { own = true; });
    input('friendly_name').addEventListener('input', () => {
      if (!own) input('device_id').value = shortName(input('friendly_name').value);
    });
  }

  /** What is filled in; null where a field is empty. */
  function values() {
    /** @type {Values} */
    const found = {};
    for (const { field } of rows.filter((one) => belongs(one.field))) {
      const text = input(field.name).value.trim();
      if (field.stored && text === '') continue;
      found[field.name] = text === '' ? null : field.kind === 'number' ? Number(text) : text;
    }
    return found;
  }

  /** @param {(entry: [name: string, value: string|number|null]) => boolean} wanted */
  const chosen = (wanted) => Object.fromEntries(Object.entries(values()).filter(wanted));

  return {
    input,
    body: () => chosen(([, value]) => value !== null),
    changes: () => chosen(([name, value]) => name !== 'device_id' && value !== (device?.[name] ?? null)),
    testable() {
      const source = input('source').value;
      return Object.hasOwn(NEEDED, source) && ['device_id', ...NEEDED[source]].every((name) => input(name).value.trim() !== '');
    },
  };
}

/**
 * A field with its label and hint, and what the device has in it.
 * @param {Field} field
 * @param {Device|null} device
 */
function fieldRow(field, device) {
  const id = `field-${field.name}`;
  const hint = field.stored && device?.[`has_${field.name}`] ? t('form.key.keep') : field.hint ? t(`form.${field.text}.hint`) : null;
  const attributes = {
    id, name: field.name, 'aria-describedby': hint ? `${id}-hint` : null, required: field.required && !(field.stored && device),
  };
  const input = field.options
    ? h('select', attributes, ...field.options.map((value) => h('option', { value, text: word(field.words ?? '', value) })))
    : h('input', {
      ...attributes, type: field.kind ?? (field.stored ? 'password' : 'text'), step: field.kind ? 'any' : null, list: field.list,
      autocomplete: field.stored ? 'new-password' : 'off', autocapitalize: 'none', spellcheck: 'false',
    });
  const value = /** @type {Record<string, unknown>} */ (device ?? DEFAULTS)[field.name];
  if (!field.stored && value != null) input.value = String(value);
  if (field.name === 'device_id' && device) input.toggleAttribute('readonly', true);
  const row = h('div', { class: 'field' },
    h('label', { for: id, text: t(`form.${field.text}`) }), input, hint ? h('p', { class: 'hint', id: `${id}-hint`, text: hint }) : null);
  return { field, input, row };
}

/**
 * A sentence of the server with the names of fields as the form calls them.
 * @param {string} text
 */
export function inLabels(text) {
  return text.replace(/\b[a-z]+(?:_[a-z]+)+\b/g, (name) => {
    const field = FIELDS.find((one) => one.name === name);
    return field ? `“${t(`form.${field.text}`)}”` : name;
  });
}

/**
 * "Prusa MK4 (left)" → "Prusa-MK4-left".
 * @param {string} name
 */
function shortName(name) {
  return name.normalize('NFKD').replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+|-+$/g, '').slice(0, 64);
}
