// The shell: who looks (profile), at what (hash → iframe), in which light (theme), and whether the server is there.

import { oneOf } from '../common/choice.js';
import { byId, h, setText } from '../common/dom.js';
import { moment } from '../common/format.js';
import { icon } from '../common/icons.js';
import { fillPage } from '../common/page.js';
import { KEYS_OFF, isShortcut, keysOn } from '../common/pagestate.js';
import { poll } from '../common/poll.js';
import { t } from '../common/texts.js';
import { THEMES, chooseTheme, chosenTheme, shownTheme } from '../common/theme.js';
import { PROFILES, ROUTES, hashOf, parse } from './routes.js';

/** @import { Icon } from '../common/icons.js' */
/** @import { Attempt } from '../common/poll.js' */
/** @import { Health } from '../common/types.d.ts' */

const HEALTH_EVERY_MS = 10_000;
const FIRST_ON_PHONE = 4;
const PROFILE = 'enms.profile';

const frame = byId('frame');
/** @type {{name: string, query: string}|null} */
let shown = null;
let grafana = false;
const linked = parse(location.hash) !== null; // the first address names a view

// Profile

/** What the person chose; null before that. */
const profile = () => oneOf(localStorage.getItem(PROFILE), Object.keys(PROFILES), null);

const views = () => PROFILES[profile() ?? 'staff'].views.filter((name) => name !== 'charts' || grafana);

/** @param {string} name */
function chooseProfile(name) {
  const before = profile();
  localStorage.setItem(PROFILE, name);
  byId('profiles').close();
  showMenu();
  if (before === null ? !linked : !views().includes(shown?.name ?? '')) location.hash = hashOf(views()[0]);
}

function showProfileChoices() {
  byId('profile-choices').replaceChildren(...Object.entries(PROFILES).map(([name, { icon: sign }]) => h('button', {
    type: 'button', class: 'choice', 'data-profile': name, 'aria-current': name === profile() ? 'true' : null,
    onclick: () => chooseProfile(name),
  }, icon(sign), h('strong', { text: t(`profile.${name}`) }), h('span', { class: 'soft small', text: t(`profile.${name}.for`) }))));
  byId('profiles').showModal();
}

// Menu

/**
 * @param {string} name
 * @param {number|null} number  the key that leads there
 */
function link(name, number) {
  return h('a', {
    href: hashOf(name), 'data-view': name, 'aria-current': shown?.name === name ? 'page' : null, 'aria-keyshortcuts': number,
    onclick: () => byId('more').close(),
  }, icon(/** @type {Icon} */ (name)), h('span', { text: t(`nav.${name}`) }));
}

function showMenu() {
  const names = views();
  const long = names.length > FIRST_ON_PHONE + 1;
  const more = h('button', { type: 'button', class: 'plain more', 'aria-haspopup': 'dialog', onclick: () => byId('more').showModal() },
    icon('more'), h('span', { text: t('nav.more') }));
  byId('nav').replaceChildren(...names.map((name, i) => link(name, i + 1)), ...(long ? [more] : []));
  byId('nav').dataset.long = String(long);
  byId('more-nav').replaceChildren(...names.slice(FIRST_ON_PHONE).map((name) => link(name, null)));
  const name = t(`profile.${profile() ?? 'staff'}`);
  byId('profile').replaceChildren(icon('person'), h('span', { text: name }));
  byId('profile').setAttribute('aria-label', t('profile.change', { name }));
  arrangeMenu();
}

/** The roomiest arrangement of the menu that fits next to the tools. */
function arrangeMenu() {
  const nav = byId('nav');
  for (const menu of ['icons', 'words', 'bottom']) {
    document.body.dataset.menu = menu;
    if (nav.scrollWidth <= nav.clientWidth) return;
  }
}
addEventListener('resize', arrangeMenu);

// Route → frame

function follow() {
  const route = parse(location.hash);
  if (route === null) return location.replace(hashOf(views()[0]));
  const page = ROUTES[route.name].page(route.query);
  const before = shown && ROUTES[shown.name].page(shown.query);
  const scenario = (/** @type {string} */ query) => new URLSearchParams(query).get('scenario'); // decides what a page polls from its start
  const samePage = shown !== null && ROUTES[route.name].own && page.split('?')[0] === before?.split('?')[0]
    && scenario(route.query) === scenario(shown.query);
  shown = route;
  const name = t(`nav.${route.name}`);
  document.title = `${name} · ENMS`;
  setText(byId('view'), name);
  frame.title = t('frame.title', { view: name });
  showMenu();
  if (page === before) return;
  // The frame's own steps must not enter the history: the hash is the address.
  if (samePage) frame.contentWindow?.postMessage({ enms: 'navigate', query: page.split('?')[1] ?? '' }, location.origin);
  else frame.contentWindow?.location.replace(page);
}

addEventListener('hashchange', follow);
addEventListener('message', ({ origin, source, data }) => {
  if (origin !== location.origin || source !== frame.contentWindow || shown === null) return;
  if (data?.enms === 'key') shortcut(data.key);
  if (data?.enms === 'title') document.title = `${data.title} · ENMS`;
  if (data?.enms === 'state') {
    const query = new URLSearchParams(data.query);
    query.delete('view'); // the route says it
    shown = { name: shown.name, query: query.toString() };
    history.replaceState(null, '', hashOf(shown.name, shown.query));
  }
});

// Theme

function showTheme() {
  const chosen = chosenTheme();
  const next = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
  byId('theme').replaceChildren(icon(chosen));
  byId('theme').setAttribute('aria-label', t('theme.button', { name: t(`theme.${chosen}`), next: t(`theme.${next}`) }));
  byId('theme').title = t(`theme.${chosen}`);
  byId('theme').onclick = () => chooseTheme(next);
}

/** Pages of others that know our attribute follow it; Grafana takes the theme in its address. */
function dressFrame() {
  if (shown && !ROUTES[shown.name].own) frame.contentDocument?.documentElement.setAttribute('data-theme', shownTheme());
}
frame.addEventListener('load', dressFrame);
addEventListener('themechange', () => {
  showTheme();
  dressFrame();
  if (shown?.name === 'charts') frame.contentWindow?.location.replace(ROUTES.charts.page(shown.query));
});

// Connection

/**
 * @param {'waiting'|'live'|'partly'|'lost'} state
 * @param {string} words
 * @param {string} [more]  for the title
 */
function showConnection(state, words, more = '') {
  byId('connection').dataset.state = state;
  byId('connection').title = more;
  setText(byId('connection'), words);
  arrangeMenu();
}

/** @param {Health} health */
function showHealth(health) {
  if (health.grafana !== grafana) {
    grafana = health.grafana;
    showMenu();
  }
  if (health.status === 'ok') showConnection('live', t('connection.live'));
  else showConnection('partly', t('connection.partly'));
}

/** @param {Attempt} attempt */
function showAttempt({ failures, status, lastGood }) {
  const since = lastGood === null ? '' : t('connection.lastAnswer', { time: moment(lastGood) });
  if (status) showConnection('partly', t('connection.partly')); // something answers, though not all of it works
  else if (failures > 0) showConnection('lost', t('connection.lost'), since);
}

poll('/api/health', showHealth, { tell: showAttempt, everyMs: HEALTH_EVERY_MS });

// Keys

/** @param {string} key */
function shortcut(key) {
  if (!keysOn() || document.querySelector('dialog[open]')) return;
  if (key === '?') return byId('keys').showModal();
  if (key === 't') return byId('theme').click();
  const name = /^[1-9]$/.test(key) ? views()[Number(key) - 1] : undefined;
  if (name) location.hash = hashOf(name);
}
addEventListener('keydown', (event) => {
  if (isShortcut(event)) shortcut(event.key);
});

function showKeys() {
  const keys = [['1 … 9', 'views'], ['/', 'search'], ['← →', 'arrows'], ['f', 'flip'], ['t', 'theme'], ['?', 'help']];
  byId('keys-list').replaceChildren(...keys.map(([key, name]) => h('div', {},
    h('dt', {}, h('kbd', { text: key })), h('dd', { text: t(`keys.${name}`) }))));
  byId('keys-enabled').checked = keysOn();
  byId('keys-enabled').onchange = () => {
    if (byId('keys-enabled').checked) localStorage.removeItem(KEYS_OFF);
    else localStorage.setItem(KEYS_OFF, '1');
  };
}

fillPage();
showConnection('waiting', t('connection.connecting'));
byId('help').onclick = () => byId('keys').showModal();
byId('profile').onclick = showProfileChoices;
// The hash is the view, so the skip link moves the focus itself.
byId('skip').onclick = (event) => {
  event.preventDefault();
  frame.focus();
};
showKeys();
showTheme();
showMenu();
follow();
if (profile() === null) showProfileChoices();
