// All ended prints: sorted, searched, paged, as CSV. The newest come with every summary, the older ones from /api/jobs.

import { byId, download, h, setText } from '../common/dom.js';
import { requestJson } from '../common/api.js';
import { toCsv } from '../common/csv.js';
import { co2, duration, kwh, moment, money, shorten } from '../common/format.js';
import { icon } from '../common/icons.js';
import { onState, pageState, setState } from '../common/pagestate.js';
import { RESULT_TONES } from '../common/status.js';
import { t, word } from '../common/texts.js';

const PAGE = 25;
const FETCH = 200;

const COLUMNS = [
  { key: 'ended', value: (print) => print.completedAt },
  { key: 'printer', value: (print) => print.printerName },
  { key: 'file', value: (print) => print.filename ?? '' },
  { key: 'result', value: (print) => print.status },
  { key: 'duration', value: (print) => seconds(print), number: true },
  { key: 'energy', value: (print) => print.kwh, number: true },
  { key: 'cost', value: (print) => print.cost, number: true },
  { key: 'co2', value: (print) => print.co2g, number: true },
];

const seconds = (print) => (print.startedAt && print.completedAt ? (Date.parse(print.completedAt) - Date.parse(print.startedAt)) / 1000 : null);

/** @returns {{summary: (history: any[]) => void}} */
export function printsView() {
  const prints = new Map();
  let fetched = 0; // how many of /api/jobs are here
  let total = null;
  let known = '';
  let page = 0;
  const scripted = pageState().has('scenario'); // a made-up fleet has no jobs in the database

  const sorting = () => {
    const [key, direction] = (pageState().get('order') ?? 'ended.down').split('.');
    return { column: COLUMNS.find((column) => column.key === key) ?? COLUMNS[0], down: direction !== 'up' };
  };

  function found() {
    const { column, down } = sorting();
    const search = (pageState().get('find') ?? '').toLocaleLowerCase();
    return [...prints.values()]
      .filter((print) => search === '' || `${print.printerName} ${print.filename ?? ''}`.toLocaleLowerCase().includes(search))
      .sort((a, b) => compare(column.value(a), column.value(b), down));
  }

  function show() {
    const all = found();
    page = Math.max(0, Math.min(page, Math.ceil(all.length / PAGE) - 1));
    const shown = all.slice(page * PAGE, (page + 1) * PAGE);
    byId('prints-head').replaceChildren(...COLUMNS.map(head));
    byId('prints-rows').replaceChildren(...shown.map(row));
    byId('prints-none').hidden = prints.size > 0;
    byId('prints-no-match').hidden = prints.size === 0 || all.length > 0;
    byId('prints-wrap').hidden = all.length === 0;
    byId('pager').hidden = all.length === 0;
    setText(byId('page-words'), t('prints.page', { from: page * PAGE + 1, to: page * PAGE + shown.length, all: all.length }));
    byId('page-back').disabled = page === 0;
    byId('page-on').disabled = (page + 1) * PAGE >= all.length;
    byId('older').hidden = scripted || total === null || fetched >= total;
    byId('csv').disabled = all.length === 0;
    if (document.activeElement !== byId('prints-search')) byId('prints-search').value = pageState().get('find') ?? '';
  }

  function head(column) {
    const { column: by, down } = sorting();
    const active = by === column;
    const name = t(`col.${column.key}`);
    return h('th', { scope: 'col', class: column.number ? 'number' : null, 'aria-sort': active ? (down ? 'descending' : 'ascending') : null },
      h('button', {
        type: 'button', class: 'sort',
        onclick: () => {
          page = 0;
          setState({ order: `${column.key}.${active ? (down ? 'up' : 'down') : column.number || column.key === 'ended' ? 'down' : 'up'}` });
          show();
          byId('prints-head').querySelectorAll('button')[COLUMNS.indexOf(column)].focus();
        },
      }, `${name}${active ? (down ? ' ↓' : ' ↑') : ''}`));
  }

  async function load() {
    if (scripted) return;
    byId('older').disabled = true;
    try {
      const answer = await requestJson(`/api/jobs?limit=${FETCH}&offset=${fetched}`);
      total = answer.total;
      fetched += answer.jobs.length;
      for (const print of answer.jobs) if (print.completedAt !== null && !prints.has(print.jobId)) prints.set(print.jobId, print);
    } catch {
      // The summary's poll says that the server is away; its prints are here.
    }
    byId('older').disabled = false;
    show();
  }

  function csv() {
    const header = ['jobId', 'completedAt', 'startedAt', 'printer', 'filename', 'status', 'seconds', 'kwh', 'cost', 'currency', 'co2g'];
    const rows = found().map((print) => [print.jobId, print.completedAt, print.startedAt, print.printerName, print.filename, print.status, seconds(print), print.kwh, print.cost, print.currency, print.co2g]);
    download('prints.csv', toCsv(header, rows), 'text/csv;charset=utf-8');
  }

  const turn = (by) => () => {
    page += by;
    show();
  };
  byId('page-back').append(icon('left'));
  byId('page-on').append(icon('right'));
  byId('csv').append(icon('download'), t('prints.csv'));
  byId('page-back').onclick = turn(-1);
  byId('page-on').onclick = turn(1);
  byId('older').onclick = load;
  byId('csv').onclick = csv;
  byId('prints-search').oninput = () => {
    page = 0;
    setState({ find: byId('prints-search').value });
    show();
  };
  onState(show);

  let asked = false;
  return {
    summary(history) {
      if (!asked) {
        asked = true;
        load();
      }
      const key = JSON.stringify(history);
      if (key === known) return;
      known = key;
      for (const print of history) prints.set(print.jobId, print);
      show();
    },
  };
}

function row(print) {
  const name = print.filename ?? t('card.noName');
  const cell = (key, text, extra = {}) => h('td', { class: 'number', 'data-label': t(`col.${key}`), text, ...extra });
  return h('tr', { 'data-job': print.jobId },
    h('th', { scope: 'row', text: moment(print.completedAt) }),
    h('td', { text: print.printerName }),
    h('td', { class: 'wide name', title: name, text: shorten(name, 72) }),
    h('td', {}, h('span', { class: 'status', 'data-tone': RESULT_TONES[print.status] ?? 'quiet', text: word('result', print.status) })),
    cell('duration', duration(seconds(print))),
    cell('energy', kwh(print.kwh).join(' '), { 'data-field': 'kwh' }),
    cell('cost', money(print.cost, print.currency)[0]),
    cell('co2', co2(print.co2g).join(' ')));
}

/** Unknown values stand last, whichever way it is sorted. */
function compare(a, b, down) {
  if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1;
  if (b === null || b === undefined) return -1;
  const order = typeof a === 'string' ? a.localeCompare(b, undefined, { numeric: true, sensitivity: 'base' }) : a - b;
  return down ? -order : order;
}
