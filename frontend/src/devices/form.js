// The fields of the form, and which of them a kind of connection needs.

import { h } from '../common/dom.js';
import { t, word } from '../common/texts.js';

const SOURCES = ['prusalink', 'octoprint', 'moonraker', 'simplyprint', 'mqtt', 'none'];
const TYPES = ['printer', 'compressor', 'hvac', 'motor', 'pump', 'injection_molding', 'conveyor', 'boiler', 'other'];
const PLANTS = ['generic_plant', 'corn', 'sunflower', 'tomato'];
/** What each kind of connection cannot do without. */
const NEEDED = { prusalink: ['api_ip', 'api_key'], octoprint: ['api_ip', 'api_key'], moonraker: ['api_ip'], simplyprint: ['simplyprint_id', 'sp_company_id', 'sp_api_key'] };
const ASKED = ['prusalink', 'octoprint', 'moonraker'];

/**
 * name: a column of the registry; text: its key in the texts; for: the sources that it belongs to; stored: never shown, empty keeps it.
 * @type {{name: string, text: string, kind?: string, options?: string[], words?: string, for?: string[], stored?: boolean, hint?: boolean, wide?: boolean, more?: boolean, required?: boolean, list?: string}[]}
 */
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
 * Builds the fields of a device (null: a new one) into `place`.
 * @param {HTMLElement} place
 * @param {any} device  as the API shows it
 * @param {string[]} plugs  meters to offer
 * @returns {{body: () => Record<string, any>, changes: () => Record<string, any>, testable: () => boolean}}
 *   body: the whole device; changes: what differs from `device`; testable: whether all that a new connection needs is filled in
 */
export function deviceFields(place, device, plugs) {
  const inputs = new Map();
  const rows = FIELDS.map((field) => {
    const id = `field-${field.name}`;
    const known = device ?? DEFAULTS;
    const hint = field.stored && device?.[`has_${field.name}`] ? t('form.key.keep') : field.hint ? t(`form.${field.text}.hint`) : null;
    const common = { id, name: field.name, 'aria-describedby': hint ? `${id}-hint` : null, required: field.required && !(field.stored && device) };
    const input = field.options
      ? h('select', common, ...field.options.map((value) => h('option', { value, text: word(field.words, value) })))
      : h('input', { ...common, type: field.kind ?? (field.stored ? 'password' : 'text'), step: field.kind ? 'any' : null, list: field.list ?? null, autocomplete: field.stored ? 'new-password' : 'off', autocapitalize: 'none', spellcheck: 'false' });
    if (!field.stored && known[field.name] != null) input.value = known[field.name];
    if (field.name === 'device_id' && device) input.readOnly = true;
    inputs.set(field.name, input);
    return { field, row: h('div', { class: 'field' }, h('label', { for: id, text: t(`form.${field.text}`) }), input, hint ? h('p', { class: 'hint', id: `${id}-hint`, text: hint }) : null) };
  });
  const more = h('details', {}, h('summary', { text: t('form.more') }), h('div', { class: 'fields' }, ...rows.filter(({ field }) => field.more).map(({ row }) => row)));
  place.replaceChildren(h('div', { class: 'fields' }, ...rows.filter(({ field }) => !field.more).map(({ row }) => row)), more,
    h('datalist', { id: 'plugs' }, ...plugs.map((value) => h('option', { value }))));

  const showFor = () => {
    for (const { field, row } of rows) row.hidden = field.for !== undefined && !field.for.includes(inputs.get('source').value);
  };
  inputs.get('source').onchange = showFor;
  showFor();

  // A new printer's short name follows its name until somebody writes one.
  if (!device) {
    let own = false;
    inputs.get('device_id').addEventListener('input', () => { own = true; });
    inputs.get('friendly_name').addEventListener('input', () => {
      if (!own) inputs.get('device_id').value = shortName(inputs.get('friendly_name').value);
    });
  }

  function values() {
    const found = {};
    for (const { field } of rows) {
      if (field.for !== undefined && !field.for.includes(inputs.get('source').value)) continue;
      const text = inputs.get(field.name).value.trim();
      if (field.stored && text === '') continue;
      found[field.name] = text === '' ? null : field.kind === 'number' ? Number(text) : text;
    }
    return found;
  }

  return {
    body: () => Object.fromEntries(Object.entries(values()).filter(([, value]) => value !== null)),
    testable() {
      const source = inputs.get('source').value;
      return Object.hasOwn(NEEDED, source) && ['device_id', ...NEEDED[source]].every((name) => inputs.get(name).value.trim() !== '');
    },
    changes: () => Object.fromEntries(Object.entries(values()).filter(([name, value]) => name !== 'device_id' && value !== (device?.[name] ?? null))),
  };
}

/** A sentence of the server with the names of fields as the form calls them. */
export function inLabels(sentence) {
  return sentence.replace(/\b[a-z]+(?:_[a-z]+)+\b/g, (name) => {
    const field = FIELDS.find((one) => one.name === name);
    return field ? `“${t(`form.${field.text}`)}”` : name;
  });
}

/** "Prusa MK4 (left)" → "Prusa-MK4-left". */
export function shortName(name) {
  return name.normalize('NFKD').replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+|-+$/g, '').slice(0, 64);
}
