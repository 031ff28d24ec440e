// The analysis of one device over a range: asked for by POST /api/analyze, the request is in the address.

import { requestJson, sentence } from '../common/api.js';
import { oneOf } from '../common/choice.js';
import { instantOf, knowZone, wallTime, zoneNote } from '../common/clock.js';
import { toCsv } from '../common/csv.js';
import { byId, download, figure, h, setNotice, setText } from '../common/dom.js';
import { NONE, difference, duration, grams, kwh, moment, money, number, percent, watts } from '../common/format.js';
import { fillPage } from '../common/page.js';
import { onState, pageState, setState } from '../common/pagestate.js';
import { t, word } from '../common/texts.js';
import { PHASES, powerChart } from './chart.js';

/** @import { Child } from '../common/dom.js' */
/** @import { Analysis, AnalysisPhase, AnalysisResults, Correlation, DataQuality, Device, Regression, Series } from '../common/types.d.ts' */
/** @import { PowerChart } from './chart.js' */

const RANGES = ['1h', '6h', '24h', '7d', '30d', 'all', 'span'];
const DRIVERS = [
  'nozzle_temp_actual', 'bed_temp_actual', 'nozzle_temp_target', 'bed_temp_target', 'is_printing', 'z_height_mm', 'speed_multiplier_percent',
  'progress_percent', 'temperature_c', 'humidity_pct', 'material',
];
const TIMEOUT_MS = 120_000;
const DAY_MS = 86_400_000;
const LEAST_SHARE = 0.05; // % of the time from which on a phase is shown
const MOST_FEATURES = 8;

const deviceChoice = /** @type {HTMLSelectElement} */ (document.getElementById('device'));
const driverBoxes = () => [...byId('drivers').querySelectorAll('input')];
/** @type {AbortController|null} */
let running = null;
/** @type {PowerChart|null} */
let chart = null;

// The form is the address

function showForm() {
  const state = pageState();
  const range = rangeOf(state);
  const drivers = driversOf(state);
  deviceChoice.value = state.get('device') || deviceChoice.value;
  for (const button of byId('ranges').querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.range === range));
  byId('span').hidden = range !== 'span';
  byId('from').value = fieldTime(state.get('from'));
  byId('to').value = fieldTime(state.get('to'));
  for (const box of driverBoxes()) box.checked = drivers.includes(box.value);
}

/** @param {URLSearchParams} state */
const rangeOf = (state) => oneOf(state.get('range'), RANGES, '24h');

/** @param {URLSearchParams} state */
const driversOf = (state) => (state.get('drivers') ?? '').split(',').filter((name) => DRIVERS.includes(name));

/**
 * What is in the address, as the request's body.
 * @param {URLSearchParams} state
 */
function bodyOf(state) {
  const drivers = driversOf(state);
  const selectedDrivers = drivers.length ? { selectedDrivers: Object.fromEntries(drivers.map((name) => [name, true])) } : {};
  const span = rangeOf(state) === 'span' ? { from: state.get('from'), to: state.get('to') } : { timeRange: rangeOf(state) };
  return { deviceId: deviceChoice.value, ...span, ...selectedDrivers };
}

// The fields show the factory's time.
const fieldTime = (/** @type {string|null} */ iso) => (iso && !Number.isNaN(Date.parse(iso)) ? wallTime(iso) : '');
const instant = (/** @type {string} */ local) => (local ? new Date(instantOf(local)).toISOString() : null);

// Run

async function run() {
  const state = pageState();
  if (rangeOf(state) === 'span' && !(state.get('from') && state.get('to'))) return fail(t('analysis.spanMissing'));
  running?.abort();
  const own = new AbortController();
  running = own;
  byId('cancel').hidden = false;
  byId('bar').hidden = false;
  byId('start').hidden = true;
  fail('');
  const begun = performance.now();
  const seconds = () => number((performance.now() - begun) / 1000, 1);
  const clock = setInterval(() => setText(byId('progress'), t('analysis.running', { seconds: seconds() })), 200);
  try {
    /** @type {Analysis} */
    const answer = await requestJson('/api/analyze', { method: 'POST', body: bodyOf(state), signal: own.signal, timeoutMs: TIMEOUT_MS });
    setText(byId('progress'), t('analysis.took', { seconds: seconds() }));
    if (answer.success) show(answer.results);
    else fail(answer.error);
  } catch (error) {
    setText(byId('progress'), own.signal.aborted ? t('analysis.cancelled') : '');
    if (!own.signal.aborted) fail(sentence(error));
  } finally {
    clearInterval(clock);
    if (running === own) {
      running = null;
      byId('cancel').hidden = true;
      byId('bar').hidden = true;
    }
  }
}

const fail = (/** @type {string} */ text) => setNotice(byId('error'), text);

// Results

/** @param {AnalysisResults} results */
function show(results) {
  const { summary, new_metrics: metrics, series } = results;
  byId('result').hidden = summary.empty;
  byId('nothing').hidden = !summary.empty;
  const range = { name: summary.friendlyName, from: moment(summary.from), to: moment(summary.to) };
  if (summary.empty) {
    setText(byId('nothing-words'), t('analysis.nothing', range));
    return;
  }
  setText(byId('words'), t('analysis.words', range));
  byId('figures').replaceChildren(
    figure(t('analysis.total'), kwh(metrics.total_kwh), 'hero'),
    figure(t('analysis.cost'), money(summary.cost, summary.currency), 'hero'),
    figure(t('analysis.co2'), grams(summary.co2_g), 'hero'),
    figure(t('analysis.average'), watts(metrics.avg_power_overall), 'hero'),
    figure(t('analysis.active'), watts(metrics.avg_power_active), 'hero'),
    figure(t('analysis.peak'), watts(summary.peak_power_w), 'hero'));
  showChart(summary.friendlyName, series);
  showPhases(metrics.phase_analysis);
  list('insights', results.insights.length ? results.insights : [t('analysis.insightsNone')]);
  byId('savings-part').hidden = results.savings.length === 0;
  list('savings', results.savings.map((saving) => saving.text));
  showStatistics(results.correlation, results.regression);
  showModel(results);
  showQuality(results.data_quality);
}

/**
 * @param {string} name  of the device
 * @param {Series} series
 */
function showChart(name, series) {
  byId('chart').setAttribute('aria-label', t('analysis.chartOf', { name, points: series.timestamps.length }));
  chart?.destroy();
  chart = powerChart(byId('chart'), series, (zoomed) => { byId('reset').hidden = !zoomed; });
  byId('reset').hidden = true;
  const predicted = series.predicted.some((value) => value !== null);
  const phases = PHASES.filter((phase) => series.phase.includes(phase));
  byId('legend').replaceChildren(h('li', {}, h('span', { class: 'line-actual' }), t('analysis.actual')),
    ...(predicted ? [h('li', {}, h('span', { class: 'line-predicted' }), t('analysis.predicted'))] : []),
    ...phases.map((phase) => h('li', {}, ...phaseName(phase))));
  byId('csv').onclick = () => {
    const rows = series.timestamps.map((at, i) => [at, series.actual[i], series.predicted[i], series.phase[i]]);
    download('analysis.csv', toCsv(['timestamp', 'actual_w', 'predicted_w', 'phase'], rows), 'text/csv;charset=utf-8');
  };
}

/** @param {string} phase */
const phaseName = (phase) => [h('span', { class: 'swatch', 'data-phase': phase }), word('phase', phase)];

/**
 * A table that scrolls by itself where it doesn't fit, by keyboard too.
 * @param {string} key  of the text that names it
 * @param {string[]} columns
 * @param {Child[][]} rows  the first cell is the row's name
 */
function table(key, columns, rows) {
  const head = columns.map((name, i) => h('th', { scope: 'col', class: i ? 'number' : null, text: t(`analysis.${name}`) }));
  const body = rows.map(([name, ...values]) => h('tr', {}, h('th', { scope: 'row' }, name), ...values.map((value) => h('td', { class: 'number' }, value))));
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': t(key) },
    h('table', {}, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...body)));
}

/** @param {Record<string, AnalysisPhase>} phases */
function showPhases(phases) {
  const withShare = (/** @type {string} */ text, /** @type {number|null} */ share) => (
    h('span', {}, text, h('span', { class: 'below', text: percent(share, 1) })));
  const rows = PHASES.filter((phase) => phases[phase]?.duration_percent > LEAST_SHARE).map((phase) => {
    const found = phases[phase];
    return [
      h('span', {}, ...phaseName(phase)), withShare(duration(found.duration_minutes * 60), found.duration_percent),
      withShare(kwh(found.energy_kwh).join(' '), found.energy_percent), watts(found.avg_power).join(' '),
    ];
  });
  byId('phases').replaceChildren(table('analysis.byPhase', ['phase', 'time', 'energy', 'mean'], rows));
}

/**
 * A sentence of the server with our names of the drivers.
 * @param {string} text
 */
const translated = (text) => text.replace(/\b[a-z]+(?:_[a-z]+)+\b/g, (name) => word('driver', name));

/**
 * p in words that don't pretend to more digits than there are.
 * @param {number|null} p
 */
const chance = (p) => (p === null ? NONE : p < 0.001 ? '< 0.001' : number(p, 3));

/** @param {string} name */
function driverName(name) {
  const known = name.startsWith('material=') ? `${t('driver.material')} ${name.slice(9)}` : word('driver', name);
  return known.charAt(0).toUpperCase() + known.slice(1);
}

/**
 * @param {Record<string, Correlation>} correlation
 * @param {Regression} regression
 */
function showStatistics(correlation, regression) {
  const strength = (/** @type {Correlation} */ { pearson }) => Math.abs(pearson ?? 0);
  const found = Object.entries(correlation).filter(([, one]) => one.pearson !== null).sort(([, a], [, b]) => strength(b) - strength(a));
  const rows = found.map(([name, one]) => [driverName(name), number(one.pearson, 2), chance(one.p_effective ?? one.pearson_p), number(one.n)]);
  byId('statistics').replaceChildren(
    ...(rows.length ? [table('analysis.correlation', ['driver', 'r', 'p', 'n'], rows)] : []), ...regressionParts(regression));
}

/** @param {Regression} regression */
function regressionParts(regression) {
  const { r_squared: share, n_samples: samples } = regression;
  if (share === null) return [h('p', { class: 'soft', text: t('analysis.fitNone', { n: number(samples) }) })];
  const rows = regression.drivers.map((name) => [
    driverName(name), number(regression.coefficients[name], 3), number(regression.standard_errors[name], 3),
    chance(regression.p_values[name]), number(regression.vif[name], 1),
  ]);
  return [
    h('p', { text: t('analysis.fit', { n: number(samples), r2: percent(100 * share), intercept: number(regression.intercept, 1) }) }),
    table('analysis.regression', ['driver', 'coefficient', 'error', 'p', 'vif'], rows),
  ];
}

/** @param {AnalysisResults} results */
function showModel({ ml_prediction_summary: summary, ml_evaluation_metrics: errors, ml_feature_importance: importance }) {
  if (!summary.available) return byId('model').replaceChildren(h('p', { class: 'soft', text: summary.note ?? t('analysis.modelNone') }));
  const largest = Math.max(...importance.map((one) => one.importance_w), 1e-9);
  const words = {
    kind: word('model', summary.model_type), when: moment(summary.trained_at), expected: kwh(summary.predicted_kwh).join(' '),
    actual: kwh(summary.actual_kwh).join(' '), difference: difference(summary.difference_percent),
  };
  const accuracy = errors && { mae: number(errors.mae_w, 1), rmse: number(errors.rmse_w, 1), r2: number(errors.r2, 2) };
  const card = `/api/model/card${summary.device_model ? `?deviceModel=${encodeURIComponent(summary.device_model)}` : ''}`;
  byId('model').replaceChildren(
    h('p', { text: t('analysis.modelWords', words) }),
    h('p', {}, h('a', { href: card, target: '_blank', text: t('analysis.modelCard') })),
    accuracy ? h('p', { class: 'soft', text: t('analysis.modelErrors', accuracy) }) : '',
    h('ul', { class: 'bars', 'aria-label': t('analysis.importance') }, ...importance.slice(0, MOST_FEATURES).map((one) => h('li', {},
      h('span', { text: driverName(one.feature) }), bar(one.importance_w / largest),
      h('span', { class: 'number', text: `${number(Math.max(0, one.importance_w), 1)} W` })))));
}

/**
 * A share (0 … 1) as a bar; the figure is next to it.
 * @param {number} share
 */
function bar(share) {
  const filled = h('span');
  filled.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
  return h('span', { class: 'bar', 'aria-hidden': 'true' }, filled);
}

/** @param {DataQuality} quality */
function showQuality(quality) {
  const { gap_minutes: gap, oldest_status_age_s: oldest } = quality;
  list('quality', [
    t('analysis.qualityRows', { rows: number(quality.rows), coverage: percent(quality.coverage_percent, 1) }),
    ...(gap ? [t('analysis.qualityGaps', { gap: duration(gap * 60) })] : []),
    ...(oldest === null ? [] : [t('analysis.qualityStatus', { rows: number(quality.rows_without_status), age: duration(oldest) })]),
    ...quality.notes.map(translated),
  ]);
}

/**
 * @param {string} id
 * @param {string[]} sentences
 */
const list = (id, sentences) => byId(id).replaceChildren(...sentences.map((text) => h('li', { text })));

// Start

/** @param {string} range */
function chooseRange(range) {
  setState({ range });
  if (range === 'span' && pageState().get('from') === null) {
    setState({ from: new Date(Date.now() - DAY_MS).toISOString(), to: new Date().toISOString() });
  }
  showForm();
}

fillPage();
byId('ranges').append(...RANGES.map((range) => h('button', {
  type: 'button', 'data-range': range, text: t(`range.${range}`), onclick: () => chooseRange(range),
})));
byId('drivers').append(...DRIVERS.map((name) => h('label', { class: 'check' },
  h('input', { type: 'checkbox', value: name }), h('span', { text: t(`driver.${name}`) }))));
byId('drivers').onchange = () => setState({ drivers: driverBoxes().filter((box) => box.checked).map((box) => box.value).join(',') });
deviceChoice.onchange = () => setState({ device: deviceChoice.value });
byId('from').onchange = () => setState({ from: instant(byId('from').value) });
byId('to').onchange = () => setState({ to: instant(byId('to').value) });
byId('cancel').onclick = () => running?.abort();
byId('reset').onclick = () => chart?.reset();
byId('closer').onclick = () => chart?.scale(0.5);
byId('wider').onclick = () => chart?.scale(2);
byId('earlier').onclick = () => chart?.move(-0.5);
byId('later').onclick = () => chart?.move(0.5);
byId('png').onclick = async () => {
  const picture = await chart?.picture();
  if (picture) download('analysis.png', picture);
};
byId('request').onsubmit = (event) => {
  event.preventDefault();
  setState({ device: deviceChoice.value, range: rangeOf(pageState()) });
  run();
};
onState(() => {
  showForm();
  run();
});

try {
  /** @type {[Device[], void]} */
  const [devices] = await Promise.all([requestJson('/api/devices'), knowZone()]);
  deviceChoice.append(...devices.map((device) => h('option', { value: device.device_id, text: device.friendly_name })));
  const asked = pageState().get('device');
  // A device that is gone may still be analysed: its past is there.
  if (asked && !devices.some((device) => device.device_id === asked)) deviceChoice.append(h('option', { value: asked, text: asked }));
} catch (error) {
  fail(sentence(error));
}
setText(byId('zone'), zoneNote());
showForm();
byId('start').hidden = pageState().get('device') !== null;
if (pageState().get('device')) run();
