// The views of the app, and which of them each profile finds in its menu.

import { shownTheme } from '../common/theme.js';

/** @import { Icon } from '../common/icons.js' */

/**
 * @typedef {object} Route
 * @property {(query: string) => string} page  the address of what is shown
 * @property {boolean} own  our page, which takes its parameters by message
 */

/** The views by name; each has an icon of its name. @type {Record<string, Route>} */
export const ROUTES = {
  overview: { own: true, page: (query) => `/overview.html${mark(query)}` },
  passports: { own: true, page: (query) => `/dpp_page.html${mark(query)}` },
  prints: { own: true, page: (query) => `/dpp_page.html?view=prints${query && `&${query}`}` },
  garden: { own: true, page: (query) => `/garden.html${mark(query)}` },
  analysis: { own: true, page: (query) => `/analysis/analysis_page.html${mark(query)}` },
  devices: { own: true, page: (query) => `/devices.html${mark(query)}` },
  flows: { own: false, page: () => '/nodered/' },
  charts: { own: false, page: (query) => charts(query) },
  api: { own: false, page: () => '/api/docs' },
};

/** @type {Record<string, {icon: Icon, views: string[]}>} */
export const PROFILES = {
  technical: { icon: 'flows', views: ['overview', 'passports', 'prints', 'garden', 'analysis', 'devices', 'flows', 'charts', 'api'] },
  staff: { icon: 'overview', views: ['overview', 'passports', 'garden', 'prints'] },
  dpp: { icon: 'passports', views: ['passports', 'prints', 'garden'] },
};

/**
 * A dashboard of Grafana without its frame, in the app's theme; the fleet's when none is named.
 * @param {string} query  such as "dashboard=energy&var-device=MK4"
 */
function charts(query) {
  const wanted = new URLSearchParams(query);
  const name = /^[a-z]+$/.exec(wanted.get('dashboard') ?? '')?.[0] ?? 'fleet';
  wanted.delete('dashboard');
  wanted.set('theme', shownTheme());
  return `/grafana/d/enms-${name}/${name}?kiosk&${wanted}`;
}

const mark = (/** @type {string} */ query) => (query ? `?${query}` : '');

/**
 * The route of a hash such as "#/analysis?device=MK4&range=7d"; null when there is no such view.
 * @param {string} hash
 */
export function parse(hash) {
  const [, name, query = ''] = /^#\/([a-z]+)(?:\?(.*))?$/.exec(hash) ?? [];
  return name && Object.hasOwn(ROUTES, name) ? { name, query } : null;
}

/**
 * The hash of a view.
 * @param {string} name
 * @param {string} [query]
 */
export const hashOf = (name, query = '') => `#/${name}${mark(query)}`;
