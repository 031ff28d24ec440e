// All ended prints, as the server sorts, searches, pages and sums them; one of them in a dialog; all that match as CSV.

import { requestJson, sentence } from '../common/api.js';
import { oneOf } from '../common/choice.js';
import { dayStart, monthStart, wallTime, zoneNote } from '../common/clock.js';
import { toCsv } from '../common/csv.js';
import { breakable, byId, download, figure, h, redraw, setText } from '../common/dom.js';
import { duration, fileName, grams, kwh, moment, money, number } from '../common/format.js';
import { onState, pageState, setState } from '../common/pagestate.js';
import { qualityMarks } from '../common/quality.js';
import { resultBadge } from '../common/status.js';
import { t } from '../common/texts.js';
import { openPrint } from './print.js';
import { accountFigures, picture, printSeconds } from './sections.js';

/** @import { Cell } from '../common/csv.js' */
/** @import { HistoryEntry, JobPage } from '../common/types.d.ts' */

const PAGE = 25;
const FETCH = 200; // the most that /api/jobs returns at once
const TYPING_MS = 250;

/**
 * @typedef {object} Column
 * @property {string} key  the name by which the server sorts
 * @property {string} [text]  key of its text, when it is another one
 * @property {boolean} [down]  the first click sorts downwards
 * @property {boolean} [number]
 */

/** @type {Column[]} */
const COLUMNS = [
  { key: 'ended', down: true }, { key: 'printer' }, { key: 'file' }, { key: 'status', text: 'result' },
  { key: 'duration', down: true, number: true }, { key: 'energy', down: true, number: true }, { key: 'cost', down: true, number: true },
  { key: 'co2', down: true, number: true },
];

/** When a print may have started, ms. @type {Record<string, () => {from?: number, to?: number}>} */
const PERIODS = {
  month: () => ({ from: dayStart(29) }),
  week: () => ({ from: dayStart(6) }),
  today: () => ({ from: dayStart() }),
  thisMonth: () => ({ from: monthStart() }),
  lastMonth: () => ({ from: monthStart(1), to: monthStart() }),
  all: () => ({}),
};
const PERIOD = 'month';

/** The columns of the file. @type {Record<string, (print: JobPage['jobs'][number]) => Cell>} */
const CSV = {
  jobId: (print) => print.jobId,
  completedAt: (print) => print.completedAt,
  startedAt: (print) => print.startedAt,
  endedLocal: (print) => wallTime(print.completedAt).replace('T', ' '),
  printer: (print) => print.printerName,
  filename: (print) => print.filename,
  status: (print) => print.status,
  seconds: printSeconds,
  pausedSeconds: (print) => print.pausedSeconds,
  material: (print) => print.material,
  filamentGrams: (print) => print.filamentGrams,
  kwh: (print) => print.kwh,
  cost: (print) => print.cost,
  currency: (print) => print.currency,
  co2g: (print) => print.co2g,
  energyFinal: (print) => print.energyFinal,
  coveragePercent: (print) => print.energyQuality?.coverage_pct,
};

// The selection, as the address has it

/** The column by which the list is sorted, and whether downwards. */
function order() {
  const [key, direction] = (pageState().get('order') ?? '').split('.');
  const column = COLUMNS.find((one) => one.key === key) ?? COLUMNS[0];
  return { column, down: direction === 'down' || (direction !== 'up' && column.down === true) };
}

const period = () => oneOf(pageState().get('period'), Object.keys(PERIODS), PERIOD);

/** The page, from 0 on. */
const page = () => Math.max(0, Math.floor(Number(pageState().get('page')) || 1) - 1);

/**
 * The address of a part of what is selected.
 * @param {number} offset
 * @param {number} limit
 */
function query(offset, limit) {
  const { column, down } = order();
  const { from, to } = PERIODS[period()]();
  const wanted = new URLSearchParams({
    ended: 'true', sort: column.key, order: down ? 'desc' : 'asc', limit: String(limit), offset: String(offset),
  });
  if (from !== undefined) wanted.set('from', new Date(from).toISOString());
  if (to !== undefined) wanted.set('to', new Date(to).toISOString());
  const search = pageState().get('find');
  if (search) wanted.set('search', search);
  return `/api/jobs?${wanted}`;
}

/**
 * The list of prints. `summary` takes what each poll brings, `show` is called when the view is opened.
 * @returns {{summary: (history: HistoryEntry[]) => void, show: () => void}}
 */
export function printsView() {
  const scripted = pageState().has('scenario'); // a made-up fleet has no prints but those of its summary
  let found = /** @type {{total: number, totals: JobPage['totals']|null, jobs: HistoryEntry[]}} */ ({ total: 0, totals: null, jobs: [] });
  let asking = /** @type {AbortController|null} */ (null);
  let asked = ''; // the request whose answer is in `found`
  let newest = /** @type {HistoryEntry[]|null} */ (null);
  let typed = /** @type {ReturnType<typeof setTimeout>|undefined} */ (undefined);

  /** @returns {Promise<void>} */
  async function load() {
    if (newest === null || byId('prints-view').hidden) return;
    if (scripted) {
      found = { total: newest.length, totals: null, jobs: newest };
      return draw();
    }
    const url = query(page() * PAGE, PAGE);
    // The newest print shows whether there is another one than last time.
    const key = `${url} ${newest[0]?.jobId} ${JSON.stringify(newest[0]?.energyQuality)}`;
    if (key === asked) return;
    asking?.abort();
    asking = new AbortController();
    try {
      /** @type {JobPage} */
      const answer = await requestJson(url, { signal: asking.signal });
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
    const { total, totals, jobs } = found;
    const narrowed = Boolean(pageState().get('find')) || period() !== 'all';
    byId('prints-head').replaceChildren(...COLUMNS.map((one) => head(one, one === column, down)));
    redraw(byId('prints-rows'), jobs.map((print) => row(print, !scripted)), 'data-job');
    byId('prints-none').hidden = total > 0 || (narrowed && !scripted && newest?.length !== 0);
    byId('prints-no-match').hidden = total > 0 || !byId('prints-none').hidden;
    byId('prints-wrap').hidden = total === 0;
    byId('prints-totals').hidden = totals === null || total === 0;
    if (totals) byId('prints-totals').replaceChildren(...totalFigures(total, totals));
    setText(byId('prints-zone'), zoneNote());
    byId('pager').hidden = scripted || total <= PAGE;
    const before = page() * PAGE;
    setText(byId('page-words'), t('prints.page', { from: number(before + 1), to: number(before + jobs.length), all: number(total) }));
    byId('page-back').disabled = page() === 0;
    byId('page-on').disabled = (page() + 1) * PAGE >= total;
    byId('csv').disabled = scripted || total === 0;
    byId('period').value = period();
    if (document.activeElement !== byId('prints-search')) byId('prints-search').value = pageState().get('find') ?? '';
  }

  /**
   * @param {Column} column
   * @param {boolean} active  the list is sorted by it
   * @param {boolean} down
   */
  function head(column, active, down) {
    const name = t(`col.${column.text ?? column.key}`);
    const sort = async () => {
      const next = active ? !down : column.down;
      await change({ order: `${column.key}.${next ? 'down' : 'up'}` });
      byId('prints-head').querySelectorAll('button')[COLUMNS.indexOf(column)].focus();
    };
    return h('th', { scope: 'col', class: column.number ? 'number' : null, 'aria-sort': active ? (down ? 'descending' : 'ascending') : null },
      scripted ? name : h('button', { type: 'button', class: 'sort', onclick: sort }, `${name}${active ? (down ? ' ↓' : ' ↑') : ''}`));
  }

  /**
   * Another selection begins with its first page.
   * @param {Record<string, string|null>} changes
   */
  function change(changes) {
    setState({ ...changes, page: null });
    return load();
  }

  /** @param {number} next */
  function setPage(next) {
    setState({ page: next === 0 ? null : String(next + 1) });
    return load();
  }

  async function csv() {
    byId('csv').disabled = true;
    const all = new Map();
    try {
      for (let offset = 0, total = 1; offset < total; offset += FETCH) {
        /** @type {JobPage} */
        const answer = await requestJson(query(offset, FETCH));
        total = answer.total;
        for (const print of answer.jobs) all.set(print.jobId, print); // a print that ends meanwhile moves the others by one
        setText(byId('csv-words'), total > FETCH ? t('prints.csvLoading', { some: number(all.size), all: number(total) }) : '');
      }
      const rows = [...all.values()].map((print) => Object.values(CSV).map((value) => value(print)));
      download('prints.csv', toCsv(Object.keys(CSV), rows), 'text/csv;charset=utf-8');
      setText(byId('csv-words'), '');
    } catch (error) {
      setText(byId('csv-words'), sentence(error));
    }
    byId('csv').disabled = false;
  }

  byId('period').append(...Object.keys(PERIODS).map((name) => h('option', { value: name, text: t(`period.${name}`) })));
  for (const id of ['period', 'prints-search', 'csv']) byId(id).hidden = scripted;
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

/**
 * @param {number} total
 * @param {JobPage['totals']} totals
 */
function totalFigures(total, totals) {
  const { measured } = totals;
  const unit = measured === total ? undefined : t('prints.measured', { count: number(measured) });
  return [figure(t('prints.count'), [number(total), unit], 'hero'), ...accountFigures(totals)];
}

/**
 * @param {HistoryEntry} print
 * @param {boolean} opens  there is more to it than the line
 */
function row(print, opens) {
  const name = print.filename ?? t('card.noName');
  const shown = [picture(print.thumbnailUrl), h('span', {}, ...breakable(fileName(name, 72)))];
  const marks = qualityMarks(print);
  return h('tr', { 'data-job': print.jobId },
    h('th', { scope: 'row', text: moment(print.completedAt) }),
    h('td', { text: print.printerName }),
    h('td', { class: 'wide name' }, opens
      ? h('button', { type: 'button', class: 'link', title: name, onclick: () => openPrint(print.jobId) }, ...shown)
      : h('span', { class: 'link', title: name }, ...shown)),
    h('td', {}, resultBadge(print.status)),
    h('td', { class: 'number', 'data-label': t('col.duration') }, duration(printSeconds(print))),
    h('td', { class: 'number', 'data-label': t('col.energy'), 'data-field': 'kwh' },
      h('span', { text: kwh(print.kwh).join(' ') }), marks.length ? h('span', { class: 'below', text: marks.join(', ') }) : null),
    h('td', { class: 'number', 'data-label': t('col.cost') }, ...money(print.cost, print.currency)),
    h('td', { class: 'number', 'data-label': t('col.co2') }, grams(print.co2g).join(' ')));
}
