// The views of the app, and which of them each profile finds in its menu.

import { shownTheme } from '../common/theme.js';

/** @type {Record<string, {page: (query: string) => string, own: boolean, icon: any}>}  own: our page, which takes its parameters by message */
export const ROUTES = {
  overview: { icon: 'overview', own: true, page: (query) => `/overview.html${mark(query)}` },
  passports: { icon: 'passports', own: true, page: (query) => `/dpp_page.html${mark(query)}` },
  prints: { icon: 'prints', own: true, page: (query) => `/dpp_page.html?view=prints${query && `&${query}`}` },
  garden: { icon: 'garden', own: true, page: (query) => `/garden.html${mark(query)}` },
  analysis: { icon: 'analysis', own: true, page: (query) => `/analysis/analysis_page.html${mark(query)}` },
  devices: { icon: 'devices', own: true, page: (query) => `/devices.html${mark(query)}` },
  flows: { icon: 'flows', own: false, page: () => '/nodered/' },
  charts: { icon: 'charts', own: false, page: (query) => charts(query) },
  api: { icon: 'api', own: false, page: () => '/api/docs' },
};

export const PROFILES = {
  technical: ['overview', 'passports', 'prints', 'garden', 'analysis', 'devices', 'flows', 'charts', 'api'],
  staff: ['overview', 'passports', 'garden', 'prints'],
  dpp: ['passports', 'prints', 'garden'],
};

/** A dashboard of Grafana without its frame, in the app's theme: "dashboard=energy&var-device=MK4"; the fleet's when none is named. */
function charts(query) {
  const wanted = new URLSearchParams(query);
  const name = /^[a-z]+$/.exec(wanted.get('dashboard') ?? '')?.[0] ?? 'fleet';
  wanted.delete('dashboard');
  wanted.set('theme', shownTheme());
  return `/grafana/d/enms-${name}/${name}?kiosk&${wanted}`;
}

const mark = (query) => (query ? `?${query}` : '');

/**
 * The route of a hash such as "#/analysis?device=MK4&range=7d".
 * @param {string} hash
 * @returns {{name: string, query: string}|null} null when there is no such view
 */
export function parse(hash) {
  const [, name, query = ''] = /^#\/([a-z]+)(?:\?(.*))?$/.exec(hash) ?? [];
  return name && Object.hasOwn(ROUTES, name) ? { name, query } : null;
}

export const hashOf = (name, query = '') => `#/${name}${mark(query)}`;
