// Our own line icons, 24 × 24. They are decoration: their names are next to them or in aria-label.

import { s } from './dom.js';

const PATHS = {
  overview: 'M4 15a8 8 0 1 1 16 0 M12 15l4-5 M4 19h16',
  passports: 'M5 4h14v16H5z M9 8h6 M9 16h6 M12 10.5a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6',
  prints: 'M8 6h12 M8 12h12 M8 18h12 M4 6h.01 M4 12h.01 M4 18h.01',
  garden: 'M12 21v-9 M12 14c-5 0-7-3-7-7 5 0 7 3 7 7z M12 12c0-4 2-7 7-8 0 5-2 8-7 8z',
  analysis: 'M4 4v16h16 M7 15l4-5 3 3 5-7',
  devices: 'M9 3v5 M15 3v5 M6 8h12v3a6 6 0 0 1-12 0z M12 17v4',
  flows: 'M4 5h6v4H4z M14 15h6v4h-6z M10 7h3c3 0 1 10 1 10',
  charts: 'M5 20V10 M10 20V4 M15 20v-7 M20 20V8',
  api: 'M8 5c-3 0-2 3-2 4.5S5 12 4 12c1 0 2 1 2 2.5S5 19 8 19 M16 5c3 0 2 3 2 4.5s1 2.5 2 2.5c-1 0-2 1-2 2.5s1 4.5-2 4.5',
  more: 'M5 12h.01 M12 12h.01 M19 12h.01',
  light: 'M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8 M12 2v3 M12 19v3 M2 12h3 M19 12h3 M5 5l2 2 M17 17l2 2 M5 19l2-2 M17 7l2-2',
  dark: 'M20 14A8 8 0 1 1 10 4a6.5 6.5 0 0 0 10 10z',
  system: 'M4 5h16v11H4z M9 20h6 M12 16v4',
  help: 'M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18 M9.6 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.2 1-1.2 1.8 M12 17h.01',
  close: 'M6 6l12 12 M18 6L6 18',
  share: 'M12 15V4 M8 8l4-4 4 4 M5 13v7h14v-7',
  turn: 'M4 12a8 8 0 0 1 14-5.3L20 9 M20 4v5h-5 M20 12a8 8 0 0 1-14 5.3L4 15 M4 20v-5h5',
  left: 'M15 5l-7 7 7 7',
  right: 'M9 5l7 7-7 7',
  tip: 'M9 18h6 M10 21h4 M8.5 15A6 6 0 1 1 15.5 15c-.5.6-.7 1-.7 1.5H9.2c0-.5-.2-.9-.7-1.5z',
  nozzle: 'M8 4h8v7l-3 4v2h-2v-2l-3-4z M12 20v.01',
  bed: 'M3 17h18 M6 13c0-2 1.5-2 1.5-4S6 7 6 5 M12 13c0-2 1.5-2 1.5-4S12 7 12 5 M18 13c0-2 1.5-2 1.5-4S18 7 18 5',
  cards: 'M8 4h8v16H8z M3 7v10 M21 7v10',
  grid: 'M4 4h7v7H4z M13 4h7v7h-7z M4 13h7v7H4z M13 13h7v7h-7z',
  download: 'M12 4v11 M8 11l4 4 4-4 M5 20h14',
  plus: 'M12 5v14 M5 12h14',
  minus: 'M5 12h14',
  part: 'M12 3l8 4.5v9L12 21l-8-4.5v-9z M4 7.5l8 4.5 8-4.5 M12 12v9',
  person: 'M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8 M4.5 20c.8-4 3.8-5.5 7.5-5.5s6.7 1.5 7.5 5.5',
  expand: 'M4 9V4h5 M20 9V4h-5 M4 15v5h5 M20 15v5h-5',
};

/** @typedef {keyof typeof PATHS} Icon */

const LINE = {
  viewBox: '0 0 24 24', fill: 'none', stroke: 'currentColor', 'stroke-width': 1.8, 'stroke-linecap': 'round', 'stroke-linejoin': 'round',
};

/** @param {Icon} name */
export const icon = (name) => s('svg', { ...LINE, 'aria-hidden': 'true' }, s('path', { d: PATHS[name] }));
