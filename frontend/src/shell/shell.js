// The shell: who looks (profile), at what (hash → iframe), in which light (theme), and whether the server is there.

import { byId, h, setText } from '../common/dom.js';
import { moment } from '../common/format.js';
import { icon } from '../common/icons.js';
import { typing } from '../common/pagestate.js';
import { poll } from '../common/poll.js';
import { fillTexts, t } from '../common/texts.js';
import { THEMES, chooseTheme, chosenTheme, shownTheme } from '../common/theme.js';
import { PROFILES, ROUTES, hashOf, parse } from './routes.js';

const HEALTH_EVERY_MS = 10_000;
const FIRST_ON_PHONE = 4;
const KEYS_OFF = 'enms.keysOff';
const PROFILE = 'enms.profile';

const frame = /** @type {HTMLIFrameElement} */ (byId('frame'));
/** @type {{name: string, query: string}|null} */
let shown = null;
let grafana = false;
const linked = parse(location.hash) !== null; // the first address names a view

// Profile

/** @returns {keyof typeof PROFILES|null} */
function profile() {
  const stored = localStorage.getItem(PROFILE);
  return stored !== null && Object.hasOwn(PROFILES, stored) ? /** @type {any} */ (stored) : null;
}

const views = () => PROFILES[profile() ?? 'staff'].filter((name) => name !== 'charts' || grafana);

function chooseProfile(name) {
  const before = profile();
  localStorage.setItem(PROFILE, name);
  byId('profiles').close();
  showMenu();
  if (before === null ? !linked : !views().includes(shown?.name ?? '')) location.hash = hashOf(views()[0]);
}

function showProfileChoices() {
  byId('profile-choices').replaceChildren(...Object.keys(PROFILES).map((name) => h('button', {
    type: 'button', class: 'choice', 'data-profile': name, 'aria-current': name === profile() ? 'true' : null, onclick: () => chooseProfile(name),
  }, icon({ technical: 'flows', staff: 'overview', dpp: 'passports' }[name]), h('strong', { text: t(`profile.${name}`) }), h('span', { class: 'soft small', text: t(`profile.${name}.for`) }))));
  byId('profiles').showModal();
}

// Menu

function link(name, number) {
  return h('a', {
    href: hashOf(name), 'data-view': name, 'aria-current': shown?.name === name ? 'page' : null, 'aria-keyshortcuts': number ? String(number) : null, onclick: () => byId('more').close(),
  }, icon(ROUTES[name].icon), h('span', { text: t(`nav.${name}`) }));
}

function showMenu() {
  const names = views();
  const more = h('button', { type: 'button', class: 'plain more', 'aria-haspopup': 'dialog', onclick: () => byId('more').showModal() }, icon('more'), h('span', { text: t('nav.more') }));
  byId('nav').replaceChildren(...names.map((name, i) => link(name, i + 1)), ...(names.length > FIRST_ON_PHONE + 1 ? [more] : []));
  byId('nav').dataset.long = String(names.length > FIRST_ON_PHONE + 1);
  byId('more-nav').replaceChildren(...names.slice(FIRST_ON_PHONE).map((name) => link(name)));
  const name = t(`profile.${profile() ?? 'staff'}`);
  byId('profile').replaceChildren(icon('person'), h('span', { text: name }));
  byId('profile').setAttribute('aria-label', t('profile.change', { name }));
  arrangeMenu();
}

/** The roomiest arrangement of the menu that fits beside the tools. */
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
  const scenario = (query) => new URLSearchParams(query).get('scenario'); // decides what a page polls from its start
  const samePage = shown !== null && ROUTES[route.name].own && page.split('?')[0] === before?.split('?')[0] && scenario(route.query) === scenario(shown.query);
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
  byId('theme').replaceChildren(icon(/** @type {any} */ (chosen)));
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

function showConnection(state, words, more = '') {
  byId('connection').dataset.state = state;
  byId('connection').title = more;
  setText(byId('connection'), words);
  arrangeMenu();
}

poll('/api/health', (health) => {
  if (health.grafana !== grafana) {
    grafana = health.grafana;
    showMenu();
  }
  if (health.status === 'ok') showConnection('live', t('connection.live'));
  else showConnection('partly', t('connection.partly'));
}, ({ failures, status, lastGood }) => {
  if (status) showConnection('partly', t('connection.partly')); // something answers, though not all of it works
  else if (failures > 0) showConnection('lost', t('connection.lost'), lastGood === null ? '' : t('connection.lastAnswer', { time: moment(lastGood) }));
}, { everyMs: HEALTH_EVERY_MS });

// Keys. A person whose dictation or clumsy hand hits single keys can switch them off.

function shortcut(key) {
  if (localStorage.getItem(KEYS_OFF) !== null || document.querySelector('dialog[open]')) return;
  if (key === '?') return byId('keys').showModal();
  if (key === 't') return byId('theme').click();
  const name = /^[1-9]$/.test(key) ? views()[Number(key) - 1] : undefined;
  if (name) location.hash = hashOf(name);
}
addEventListener('keydown', (event) => {
  if (!event.ctrlKey && !event.metaKey && !event.altKey && !typing(event.target)) shortcut(event.key);
});

function showKeys() {
  const keys = [['1 … 9', 'views'], ['/', 'search'], ['← →', 'arrows'], ['f', 'flip'], ['t', 'theme'], ['?', 'help']];
  byId('keys-list').replaceChildren(...keys.map(([key, name]) => h('div', {}, h('dt', {}, h('kbd', { text: key })), h('dd', { text: t(`keys.${name}`) }))));
  byId('keys-enabled').checked = localStorage.getItem(KEYS_OFF) === null;
  byId('keys-enabled').onchange = () => {
    if (byId('keys-enabled').checked) localStorage.removeItem(KEYS_OFF);
    else localStorage.setItem(KEYS_OFF, '1');
  };
}

fillTexts();
showConnection('waiting', t('connection.connecting'));
for (const name of ['more', 'keys']) {
  byId(`${name}-close`).append(icon('close'));
  byId(`${name}-close`).onclick = () => byId(name).close();
}
byId('help').append(icon('help'));
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
