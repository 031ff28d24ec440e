// The analysis of one device over a range: asked by POST /api/analyze, the request is in the address.

import { requestJson } from '../common/api.js';
import { toCsv } from '../common/csv.js';
import { byId, download, figure, h, setText } from '../common/dom.js';
import { NONE, co2, difference, duration, kwh, moment, money, number, percent, watts } from '../common/format.js';
import { onState, pageState, setState } from '../common/pagestate.js';
import { fillTexts, t, word } from '../common/texts.js';
import { PHASES, powerChart } from './chart.js';

const RANGES = ['1h', '6h', '24h', '7d', '30d', 'all', 'span'];
const DRIVERS = ['nozzle_temp_actual', 'bed_temp_actual', 'nozzle_temp_target', 'bed_temp_target', 'is_printing', 'z_height_mm', 'speed_multiplier_percent', 'progress_percent', 'temperature_c', 'humidity_pct', 'material'];
const TIMEOUT_MS = 120_000;

/** @type {AbortController|null} */
let running = null;
/** @type {ReturnType<typeof powerChart>|null} */
let chart = null;

// The form is the address

function showForm() {
  const state = pageState();
  const range = rangeOf(state);
  if (state.get('device')) byId('device').value = state.get('device');
  for (const button of byId('ranges').children) button.setAttribute('aria-pressed', String(button.dataset.range === range));
  byId('span').hidden = range !== 'span';
  byId('from').value = localTime(state.get('from'));
  byId('to').value = localTime(state.get('to'));
  const chosen = (state.get('drivers') ?? '').split(',');
  for (const box of byId('drivers').querySelectorAll('input')) box.checked = chosen.includes(box.value);
}

const rangeOf = (state) => (RANGES.includes(state.get('range') ?? '') ? state.get('range') ?? '24h' : '24h');

/** What stands in the address, as the request's body. */
function bodyOf(state) {
  const drivers = (state.get('drivers') ?? '').split(',').filter((name) => DRIVERS.includes(name));
  const selectedDrivers = drivers.length ? { selectedDrivers: Object.fromEntries(drivers.map((name) => [name, true])) } : {};
  const span = rangeOf(state) === 'span' ? { from: state.get('from'), to: state.get('to') } : { timeRange: rangeOf(state) };
  return { deviceId: byId('device').value, ...span, ...selectedDrivers };
}

/** An instant for a datetime-local field, which knows no zone but the browser's. */
function localTime(iso) {
  if (!iso || Number.isNaN(Date.parse(iso))) return '';
  const time = new Date(iso);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const instant = (local) => (local ? new Date(local).toISOString() : null);

// Run

async function run() {
  const state = pageState();
  if (rangeOf(state) === 'span' && !(state.get('from') && state.get('to'))) return fail(t('analysis.spanMissing'));
  running?.abort();
  const own = new AbortController();
  running = own;
  byId('cancel').hidden = false;
  byId('error').hidden = true;
  const begun = performance.now();
  const seconds = () => number((performance.now() - begun) / 1000, 1);
  const clock = setInterval(() => setText(byId('progress'), t('analysis.running', { seconds: seconds() })), 200);
  try {
    const answer = await requestJson('/api/analyze', { method: 'POST', body: bodyOf(state), signal: own.signal, timeoutMs: TIMEOUT_MS });
    setText(byId('progress'), t('analysis.took', { seconds: seconds() }));
    if (answer.success) show(answer.results);
    else fail(answer.error);
  } catch (error) {
    setText(byId('progress'), own.signal.aborted ? t('analysis.cancelled') : '');
    if (!own.signal.aborted) fail(error.message);
  } finally {
    clearInterval(clock);
    if (running === own) {
      running = null;
      byId('cancel').hidden = true;
    }
  }
}

function fail(sentence) {
  byId('error').hidden = false;
  setText(byId('error'), sentence);
}

// Results

function show(results) {
  byId('result').hidden = false;
  const { summary, new_metrics: metrics, series } = results;
  setText(byId('words'), summary.text ?? '');
  byId('figures').replaceChildren(
    figure(t('analysis.total'), kwh(metrics.total_kwh), 'hero'), figure(t('analysis.cost'), money(summary.cost, summary.currency), 'hero'), figure(t('analysis.co2'), co2(summary.co2_g), 'hero'),
    figure(t('analysis.average'), watts(metrics.avg_power_overall), 'hero'), figure(t('analysis.active'), watts(metrics.avg_power_active), 'hero'), figure(t('analysis.peak'), watts(summary.peak_power_w), 'hero'));
  byId('chart').setAttribute('aria-label', t('analysis.chartOf', { name: summary.friendlyName, points: series.timestamps.length }));
  chart?.destroy();
  chart = powerChart(byId('chart'), series, (zoomed) => { byId('reset').hidden = !zoomed; });
  byId('reset').hidden = true;
  const present = PHASES.filter((phase) => series.phase.includes(phase));
  byId('legend').replaceChildren(h('li', {}, h('span', { class: 'line-actual' }), t('analysis.actual')),
    ...(series.predicted.some((value) => value !== null) ? [h('li', {}, h('span', { class: 'line-predicted' }), t('analysis.predicted'))] : []),
    ...present.map((phase) => h('li', {}, h('span', { class: 'swatch', 'data-phase': phase }), word('phase', phase))));
  showPhases(metrics.phase_analysis);
  const sentences = [...(results.insights ?? []), ...(results.savings ?? [])].map((one) => (typeof one === 'string' ? one : one.text));
  list('insights', sentences.length ? sentences : [t('analysis.insightsNone')]);
  showStatistics(results.correlation ?? {}, results.regression);
  showModel(results);
  showQuality(results.data_quality);
  byId('csv').onclick = () => download('analysis.csv', toCsv(['timestamp', 'actual_w', 'predicted_w', 'phase'],
    series.timestamps.map((at, i) => [at, series.actual[i], series.predicted[i], series.phase[i]])), 'text/csv;charset=utf-8');
}

function table(columns, rows) {
  return h('div', { class: 'scroll' }, h('table', {}, h('thead', {}, h('tr', {}, ...columns.map((name, i) => h('th', { scope: 'col', class: i ? 'number' : null, text: t(`analysis.${name}`) })))),
    h('tbody', {}, ...rows.map(([name, ...values]) => h('tr', {}, h('th', { scope: 'row' }, name), ...values.map((value) => h('td', { class: 'number' }, value)))))));
}

function showPhases(phases) {
  const rows = PHASES.filter((phase) => phases[phase]?.duration_percent > 0.05).map((phase) => {
    const found = phases[phase];
    return [h('span', {}, h('span', { class: 'swatch', 'data-phase': phase }), word('phase', phase)),
      h('span', {}, duration(found.duration_minutes * 60), h('span', { class: 'below', text: percent(found.duration_percent, 1) })),
      h('span', {}, kwh(found.energy_kwh).join(' '), h('span', { class: 'below', text: percent(found.energy_percent, 1) })), watts(found.avg_power).join(' ')];
  });
  byId('phases').replaceChildren(table(['phase', 'time', 'energy', 'mean'], rows));
}

/** p in words that don't pretend to more digits than there are. */
const chance = (p) => (p == null ? NONE : p < 0.001 ? '< 0.001' : number(p, 3));
const driverName = (name) => (name.startsWith('material=') ? `${t('driver.material')} ${name.slice(9)}` : word('driver', name));

function showStatistics(correlation, regression) {
  const parts = [];
  const found = Object.entries(correlation).filter(([, one]) => one.pearson !== null).sort(([, a], [, b]) => Math.abs(b.pearson) - Math.abs(a.pearson));
  if (found.length) parts.push(table(['driver', 'r', 'p', 'n'], found.map(([name, one]) => [driverName(name), number(one.pearson, 2), chance(one.p_effective ?? one.pearson_p), number(one.n)])));
  if (regression?.r_squared != null) {
    parts.push(h('p', { text: t('analysis.fit', { n: number(regression.n_samples), r2: percent(100 * regression.r_squared), intercept: number(regression.intercept, 1) }) }),
      table(['driver', 'coefficient', 'error', 'p', 'vif'], regression.drivers.map((name) => [driverName(name), number(regression.coefficients[name], 3), number(regression.standard_errors[name], 3), chance(regression.p_values[name]), number(regression.vif[name], 1)])));
  } else parts.push(h('p', { class: 'soft', text: t('analysis.fitNone', { n: number(regression?.n_samples ?? 0) }) }));
  byId('statistics').replaceChildren(...parts);
}

function showModel({ ml_prediction_summary: summary, ml_evaluation_metrics: errors, ml_feature_importance: importance }) {
  if (!summary?.available) return byId('model').replaceChildren(h('p', { class: 'soft', text: summary?.note ?? t('analysis.modelNone') }));
  const largest = Math.max(...importance.map((one) => one.importance_w), 1e-9);
  byId('model').replaceChildren(
    h('p', { text: t('analysis.modelWords', { kind: summary.model_type, when: moment(summary.trained_at), expected: number(summary.predicted_kwh, 3), actual: number(summary.actual_kwh, 3), difference: difference(summary.difference_percent) }) }),
    h('p', {}, h('a', { href: `/api/model/card${summary.device_model ? `?deviceModel=${encodeURIComponent(summary.device_model)}` : ''}`, target: '_blank', text: t('analysis.modelCard') })),
    errors ? h('p', { class: 'soft', text: t('analysis.modelErrors', { mae: number(errors.mae_w, 1), rmse: number(errors.rmse_w, 1), r2: number(errors.r2, 2) }) }) : '',
    h('ul', { class: 'bars', 'aria-label': t('analysis.importance') }, ...importance.slice(0, 8).map((one) => h('li', {}, h('span', { text: driverName(one.feature) }),
      h('meter', { min: 0, max: 1, value: Math.max(0, one.importance_w / largest), 'aria-hidden': 'true' }), h('span', { class: 'number', text: `${number(one.importance_w, 1)} W` })))));
}

function showQuality(quality) {
  if (!quality) return;
  list('quality', [
    t('analysis.qualityRows', { rows: number(quality.rows), coverage: percent(quality.coverage_percent, 1) }),
    quality.gap_minutes ? t('analysis.qualityGaps', { gap: duration(quality.gap_minutes * 60) }) : null,
    quality.oldest_status_age_s == null ? null : t('analysis.qualityStatus', { rows: number(quality.rows_without_status), age: duration(quality.oldest_status_age_s) }),
    ...(quality.notes ?? []),
  ].filter((sentence) => sentence !== null));
}

const list = (id, sentences) => byId(id).replaceChildren(...sentences.map((sentence) => h('li', { text: sentence })));

// Start

fillTexts();
byId('ranges').append(...RANGES.map((range) => h('button', { type: 'button', 'data-range': range, text: t(`range.${range}`), onclick: () => {
  setState({ range });
  showForm();
} })));
byId('drivers').append(...DRIVERS.map((name) => h('label', { class: 'check' }, h('input', { type: 'checkbox', value: name }), h('span', { text: t(`driver.${name}`) }))));
byId('drivers').onchange = () => setState({ drivers: [...byId('drivers').querySelectorAll('input:checked')].map((box) => box.value).join(',') });
byId('device').onchange = () => setState({ device: byId('device').value });
byId('from').onchange = () => setState({ from: instant(byId('from').value) });
byId('to').onchange = () => setState({ to: instant(byId('to').value) });
byId('cancel').onclick = () => running?.abort();
byId('reset').onclick = () => chart?.reset();
byId('png').onclick = async () => download('analysis.png', await chart?.picture(), 'image/png');
byId('request').onsubmit = (event) => {
  event.preventDefault();
  setState({ device: byId('device').value, range: rangeOf(pageState()) });
  run();
};
onState(() => {
  showForm();
  run();
});

try {
  const devices = await requestJson('/api/devices');
  byId('device').append(...devices.map((device) => h('option', { value: device.device_id, text: device.friendly_name })));
  const asked = pageState().get('device');
  // A device that is gone may still be analysed: its past is there.
  if (asked && !devices.some((device) => device.device_id === asked)) byId('device').append(h('option', { value: asked, text: asked }));
} catch (error) {
  fail(error.message);
}
showForm();
if (pageState().get('device')) run();
