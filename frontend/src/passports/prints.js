// All ended prints, as the server sorts, searches, pages and sums them; one of them in a dialog; all that match as CSV.

import { requestJson } from '../common/api.js';
import { dayStart, foreignZone, monthStart, wallTime } from '../common/clock.js';
import { toCsv } from '../common/csv.js';
import { breakable, byId, download, figure, h, redraw, setText } from '../common/dom.js';
import { co2, duration, fileName, kwh, moment, money, number } from '../common/format.js';
import { icon } from '../common/icons.js';
import { onState, pageState, setState } from '../common/pagestate.js';
import { qualityMarks } from '../common/quality.js';
import { RESULT_TONES } from '../common/status.js';
import { t, word } from '../common/texts.js';
import { openPrint } from './print.js';
import { picture } from './sections.js';

const PAGE = 25;
const FETCH = 200; // the most that /api/jobs answers at once
const TYPING_MS = 250;

/** The columns: the name by which the server sorts, and which way first. */
const COLUMNS = [
  { key: 'ended', down: true }, { key: 'printer', down: false }, { key: 'file', down: false }, { key: 'status', text: 'result', down: false },
  { key: 'duration', down: true, number: true }, { key: 'energy', down: true, number: true }, { key: 'cost', down: true, number: true }, { key: 'co2', down: true, number: true },
];
/** When a print may have started. @type {Record<string, () => {from?: number, to?: number}>} */
const PERIODS = {
  month: () => ({ from: dayStart(29) }), week: () => ({ from: dayStart(6) }), today: () => ({ from: dayStart() }),
  thisMonth: () => ({ from: monthStart() }), lastMonth: () => ({ from: monthStart(1), to: monthStart() }), all: () => ({}),
};
const PERIOD = 'month';

const seconds = (print) => (print.startedAt && print.completedAt ? (Date.parse(print.completedAt) - Date.parse(print.startedAt)) / 1000 : null);

/** @returns {{summary: (history: any[]) => void, show: () => void}}  summary: what each poll brings; show: the view was opened */
export function printsView() {
  const scripted = pageState().has('scenario'); // a made-up fleet has no prints but those of its summary
  let found = /** @type {{total: number, totals: any, jobs: any[]}|null} */ (null);
  let asking = /** @type {AbortController|null} */ (null);
  let asked = ''; // what `found` answers
  let newest = /** @type {any[]|null} */ (null);
  let typed;

  const order = () => {
    const [key, direction] = (pageState().get('order') ?? '').split('.');
    const column = COLUMNS.find((one) => one.key === key) ?? COLUMNS[0];
    return { column, down: direction === 'down' || (direction !== 'up' && column.down) };
  };
  const period = () => (Object.hasOwn(PERIODS, pageState().get('period') ?? '') ? pageState().get('period') ?? PERIOD : PERIOD);
  const page = () => Math.max(0, Math.floor(Number(pageState().get('page')) || 1) - 1);

  function query(offset, limit) {
    const { column, down } = order();
    const { from, to } = PERIODS[period()]();
    const asked = new URLSearchParams({ ended: 'true', sort: column.key, order: down ? 'desc' : 'asc', limit: String(limit), offset: String(offset) });
    if (from !== undefined) asked.set('from', new Date(from).toISOString());
    if (to !== undefined) asked.set('to', new Date(to).toISOString());
    const search = pageState().get('find');
    if (search) asked.set('search', search);
    return `/api/jobs?${asked}`;
  }

  async function load() {
    if (newest === null || byId('prints-view').hidden) return;
    if (scripted) {
      found = { total: newest.length, totals: null, jobs: newest };
      return draw();
    }
    const url = query(page() * PAGE, PAGE);
    // The newest print tells whether there is another one than last time.
    const key = `${url} ${newest[0]?.jobId} ${JSON.stringify(newest[0]?.energyQuality)}`;
    if (key === asked) return;
    asking?.abort();
    const own = new AbortController();
    asking = own;
    try {
      const answer = await requestJson(url, { signal: own.signal });
      asked = key;
      found = answer;
      if (answer.total > 0 && answer.jobs.length === 0) return setPage(Math.ceil(answer.total / PAGE) - 1); // a link to a page that is no more
      draw();
    } catch {
      // The summary's poll says that the server is away; what was shown stays.
    }
  }

  function draw() {
    const { column, down } = order();
    const { total, totals, jobs } = found ?? { total: 0, totals: null, jobs: [] };
    const narrowed = Boolean(pageState().get('find')) || period() !== 'all';
    byId('prints-head').replaceChildren(...COLUMNS.map((one) => head(one, one === column, down)));
    redraw(byId('prints-rows'), jobs.map((print) => row(print, !scripted)), 'data-job');
    byId('prints-none').hidden = total > 0 || (narrowed && !scripted && newest?.length !== 0);
    byId('prints-no-match').hidden = total > 0 || !byId('prints-none').hidden;
    byId('prints-wrap').hidden = total === 0;
    byId('prints-totals').hidden = totals === null || total === 0;
    if (totals) {
      byId('prints-totals').replaceChildren(
        figure(t('prints.count'), [number(total), totals.measured === total ? undefined : t('prints.measured', { count: number(totals.measured) })], 'hero'),
        figure(t('col.energy'), kwh(totals.kwh), 'hero'), figure(t('col.cost'), money(totals.cost, totals.currency), 'hero'), figure(t('col.co2'), co2(totals.co2g), 'hero'));
    }
    const zone = foreignZone();
    setText(byId('prints-zone'), zone === null ? '' : t('clock.zone', { zone }));
    byId('pager').hidden = scripted || total <= PAGE;
    setText(byId('page-words'), t('prints.page', { from: number(page() * PAGE + 1), to: number(page() * PAGE + jobs.length), all: number(total) }));
    byId('page-back').disabled = page() === 0;
    byId('page-on').disabled = (page() + 1) * PAGE >= total;
    byId('csv').disabled = scripted || total === 0;
    byId('period').value = period();
    if (document.activeElement !== byId('prints-search')) byId('prints-search').value = pageState().get('find') ?? '';
  }

  function head(column, active, down) {
    const name = t(`col.${column.text ?? column.key}`);
    return h('th', { scope: 'col', class: column.number ? 'number' : null, 'aria-sort': active ? (down ? 'descending' : 'ascending') : null },
      scripted ? name : h('button', {
        type: 'button', class: 'sort',
        onclick: async () => {
          const next = active ? !down : column.down;
          await change({ order: `${column.key}.${next ? 'down' : 'up'}` });
          byId('prints-head').querySelectorAll('button')[COLUMNS.indexOf(column)].focus();
        },
      }, `${name}${active ? (down ? ' ↓' : ' ↑') : ''}`));
  }

  /** Another selection begins with its first page. */
  function change(changes) {
    setState({ ...changes, page: null });
    return load();
  }

  function setPage(next) {
    setState({ page: next === 0 ? null : String(next + 1) });
    return load();
  }

  async function csv() {
    byId('csv').disabled = true;
    const all = new Map();
    try {
      for (let offset = 0, total = 1; offset < total; offset += FETCH) {
        const answer = await requestJson(query(offset, FETCH));
        total = answer.total;
        for (const print of answer.jobs) all.set(print.jobId, print); // a print that ends meanwhile moves the others by one
        setText(byId('csv-words'), total > FETCH ? t('prints.csvLoading', { some: number(all.size), all: number(total) }) : '');
      }
      const header = ['jobId', 'completedAt', 'startedAt', 'endedLocal', 'printer', 'filename', 'status', 'seconds', 'pausedSeconds', 'material', 'filamentGrams',
        'kwh', 'cost', 'currency', 'co2g', 'energyFinal', 'coveragePercent'];
      const rows = [...all.values()].map((print) => [print.jobId, print.completedAt, print.startedAt, wallTime(print.completedAt).replace('T', ' '), print.printerName, print.filename,
        print.status, seconds(print), print.pausedSeconds, print.material, print.filamentGrams, print.kwh, print.cost, print.currency, print.co2g, print.energyFinal, print.energyQuality?.coverage_pct]);
      download('prints.csv', toCsv(header, rows), 'text/csv;charset=utf-8');
      setText(byId('csv-words'), '');
    } catch (error) {
      setText(byId('csv-words'), error.message);
    }
    byId('csv').disabled = false;
  }

  byId('period').append(...Object.keys(PERIODS).map((name) => h('option', { value: name, text: t(`period.${name}`) })));
  byId('period').hidden = scripted;
  byId('prints-search').hidden = scripted;
  byId('page-back').append(icon('left'));
  byId('page-on').append(icon('right'));
  byId('csv').append(icon('download'), t('prints.csv'));
  byId('csv').hidden = scripted;
  byId('page-back').onclick = () => setPage(page() - 1);
  byId('page-on').onclick = () => setPage(page() + 1);
  byId('csv').onclick = csv;
  byId('period').onchange = () => change({ period: byId('period').value === PERIOD ? null : byId('period').value });
  byId('prints-search').oninput = () => {
    clearTimeout(typed);
    typed = setTimeout(() => change({ find: byId('prints-search').value }), TYPING_MS);
  };
  byId('prints-all').onclick = () => change({ find: null, period: 'all' });
  onState(load);

  return {
    summary(history) {
      newest = history;
      load();
    },
    show: load,
  };
}

/** @param {any} print @param {boolean} opens  whether there is more to it than the line */
function row(print, opens) {
  const name = print.filename ?? t('card.noName');
  const cell = (key, text, ...more) => h('td', { class: 'number', 'data-label': t(`col.${key}`) }, text, ...more);
  const marks = qualityMarks(print);
  return h('tr', { 'data-job': print.jobId },
    h('th', { scope: 'row', text: moment(print.completedAt) }),
    h('td', { text: print.printerName }),
    h('td', { class: 'wide name' }, h(opens ? 'button' : 'span', { type: opens ? 'button' : null, class: 'link', title: name, onclick: opens ? () => openPrint(print.jobId) : null },
      picture(print.thumbnailUrl), h('span', {}, ...breakable(fileName(name, 72))))),
    h('td', {}, h('span', { class: 'status', 'data-tone': RESULT_TONES[print.status] ?? 'quiet', text: word('result', print.status) })),
    cell('duration', duration(seconds(print))),
    h('td', { class: 'number', 'data-label': t('col.energy'), 'data-field': 'kwh' }, h('span', { text: kwh(print.kwh).join(' ') }), marks.length ? h('span', { class: 'below', text: marks.join(', ') }) : null),
    cell('cost', money(print.cost, print.currency)[0]),
    cell('co2', co2(print.co2g).join(' ')));
}

