// Power over time: measured and expected, the phases behind it. Dragging looks closer.

import { Chart, Filler, LineController, LineElement, LinearScale, PointElement, Tooltip } from 'chart.js';
import { dayStart, wallTime } from '../common/clock.js';
import { clockTime, date, moment, number } from '../common/format.js';
import { t, word } from '../common/texts.js';
import { colour } from '../common/theme.js';

/** @import { Series } from '../common/types.d.ts' */
/** @typedef {{min: number, max: number}} Span  ms since 1970 */

/**
 * @typedef {object} PowerChart
 * @property {() => void} reset  shows the whole range
 * @property {(factor: number) => void} scale  shows so much more or less time around the same middle
 * @property {(share: number) => void} move  by a share of what is shown, at most to an end
 * @property {() => Promise<Blob|null>} picture  a PNG on the paper of the page: a transparent one is unreadable on another ground
 * @property {() => void} destroy
 */

Chart.register(Filler, LineController, LineElement, LinearScale, PointElement, Tooltip);

export const PHASES = ['Heating', 'Printing', 'Paused', 'Cooling', 'Idle', 'Active', 'No data'];
/** @type {Record<string, string>} */
const PHASE_TOKENS = {
  Heating: '--heat-fill', Printing: '--leaf-fill', Paused: '--cool-fill', Cooling: '--cool', Idle: '--rest-fill', Active: '--rest', 'No data': '--line',
};
const MINUTE_MS = 60_000;
const DAY_MS = 1440 * MINUTE_MS;
/** Between two marks of the time axis. */
const STEPS_MIN = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7 * 1440, 14 * 1440, 28 * 1440];
const TICK_PX = 80;
const FEWEST_POINTS = 4;

/**
 * Draws the power over time.
 * @param {HTMLCanvasElement} canvas
 * @param {Series} series
 * @param {(zoomed: boolean) => void} onZoom
 * @returns {PowerChart}
 */
export function powerChart(canvas, series, onZoom) {
  const times = series.timestamps.map((at) => Date.parse(at));
  const points = (/** @type {(number|null)[]} */ values) => values.map((y, i) => ({ x: times[i], y }));
  const whole = { min: times[0] ?? 0, max: times.at(-1) ?? 1 };
  let drag = /** @type {{from: number, to: number}|null} */ (null);

  /** @type {import('chart.js').Plugin<'line'>} */
  const background = {
    id: 'phases',
    beforeDatasetsDraw({ ctx, chartArea: area, scales: { x } }) {
      ctx.save();
      ctx.beginPath();
      ctx.rect(area.left, area.top, area.width, area.height);
      ctx.clip();
      for (let i = 0; i < times.length;) {
        let end = i + 1;
        while (end < times.length && series.phase[end] === series.phase[i]) end += 1;
        const right = x.getPixelForValue(times[Math.min(end, times.length - 1)]);
        const left = x.getPixelForValue(times[i]);
        ctx.globalAlpha = 0.16;
        ctx.fillStyle = colours.phases[series.phase[i]] ?? 'transparent';
        ctx.fillRect(left, area.top, right - left, area.height);
        i = end;
      }
      if (drag) {
        ctx.globalAlpha = 0.25;
        ctx.fillStyle = colours.ink;
        ctx.fillRect(Math.min(drag.from, drag.to), area.top, Math.abs(drag.to - drag.from), area.height);
      }
      ctx.restore();
    },
  };

  let colours = readColours();
  const chart = new Chart(canvas, {
    type: 'line',
    data: {
      datasets: [
        { label: t('analysis.actual'), data: points(series.actual), borderWidth: 1.8, pointRadius: 0, spanGaps: false },
        { label: t('analysis.predicted'), data: points(series.predicted), borderWidth: 1.6, borderDash: [6, 4], pointRadius: 0, spanGaps: false },
      ],
    },
    plugins: [background],
    options: {
      animation: false, parsing: false, normalized: true, maintainAspectRatio: false,
      interaction: { mode: 'index', intersect: false },
      scales: {
        x: {
          type: 'linear', ...whole,
          afterBuildTicks: (scale) => { scale.ticks = marks(scale.min, scale.max, scale.width).map((value) => ({ value })); },
          ticks: { autoSkip: false, maxRotation: 0, callback: (value) => mark(Number(value)) },
        },
        y: { beginAtZero: true, title: { display: true, text: 'W' } },
      },
      plugins: {
        tooltip: {
          filter: ({ parsed }) => parsed.y !== null,
          callbacks: {
            title: ([first]) => (first ? `${moment(first.parsed.x)} · ${word('phase', series.phase[first.dataIndex])}` : ''),
            label: ({ dataset, parsed }) => `${dataset.label}: ${number(parsed.y, 1)} W`,
          },
        },
      },
    },
  });

  /** The present options of one of our scales; the library's types don't know which there are. */
  const axis = (/** @type {'x'|'y'} */ name) => /** @type {any} */ (chart.options.scales)[name];

  function paint() {
    colours = readColours();
    chart.data.datasets[0].borderColor = colours.ink;
    chart.data.datasets[1].borderColor = colours.leaf;
    for (const options of [axis('x'), axis('y')]) {
      options.ticks.color = colours.soft;
      options.grid = { color: colours.line };
      if (options.title) options.title.color = colours.soft;
    }
    chart.update();
  }

  /** @param {Span} span */
  function zoom({ min, max }) {
    const x = axis('x');
    x.min = Math.max(whole.min, min);
    x.max = Math.min(whole.max, max);
    chart.update();
    onZoom(min > whole.min || max < whole.max);
  }

  const gone = new AbortController();
  /**
   * @template {keyof HTMLElementEventMap} Name
   * @param {Name} name
   * @param {(event: HTMLElementEventMap[Name]) => void} action
   */
  const listen = (name, action) => canvas.addEventListener(name, action, { signal: gone.signal });
  listen('pointerdown', (event) => {
    drag = { from: event.offsetX, to: event.offsetX };
    canvas.setPointerCapture(event.pointerId);
  });
  listen('pointermove', (event) => {
    if (!drag) return;
    drag.to = event.offsetX;
    chart.draw();
  });
  listen('pointerup', () => {
    if (!drag) return;
    const [left, right] = [drag.from, drag.to].sort((a, b) => a - b).map((pixel) => chart.scales.x.getValueForPixel(pixel) ?? 0);
    drag = null;
    if (enough(left, right)) zoom({ min: left, max: right });
    else chart.draw();
  });
  // A finger that moves up or down scrolls the page (touch-action).
  listen('pointercancel', () => {
    drag = null;
    chart.draw();
  });
  listen('dblclick', () => zoom(whole));
  addEventListener('themechange', paint, { signal: gone.signal });
  paint();

  const enough = (/** @type {number} */ min, /** @type {number} */ max) => (
    times.filter((at) => at >= min && at <= max).length >= FEWEST_POINTS);

  return {
    reset: () => zoom(whole),
    scale(factor) {
      const { min, max } = chart.scales.x;
      const [middle, half] = [(min + max) / 2, ((max - min) / 2) * factor];
      if (enough(middle - half, middle + half)) zoom({ min: middle - half, max: middle + half });
    },
    move(share) {
      const { min, max } = chart.scales.x;
      const by = Math.max(whole.min - min, Math.min(whole.max - max, (max - min) * share));
      zoom({ min: min + by, max: max + by });
    },
    picture() {
      const copy = document.createElement('canvas');
      copy.width = canvas.width;
      copy.height = canvas.height;
      const ctx = /** @type {CanvasRenderingContext2D} */ (copy.getContext('2d'));
      ctx.fillStyle = colours.card;
      ctx.fillRect(0, 0, copy.width, copy.height);
      ctx.drawImage(canvas, 0, 0);
      return new Promise((resolve) => copy.toBlob(resolve, 'image/png'));
    },
    destroy() {
      gone.abort();
      chart.destroy();
    },
  };
}

function readColours() {
  return {
    ink: colour('--ink'), soft: colour('--soft'), line: colour('--line'), leaf: colour('--leaf-fill'), card: colour('--card'),
    phases: Object.fromEntries(Object.entries(PHASE_TOKENS).map(([phase, token]) => [phase, colour(token)])),
  };
}

/**
 * Round times of the factory's clock, no closer than they can be read.
 * @param {number} min  ms
 * @param {number} max  ms
 * @param {number} width  px
 */
function marks(min, max, width) {
  const fit = Math.max(2, Math.floor(width / TICK_PX));
  const step = (STEPS_MIN.find((minutes) => (max - min) / (minutes * MINUTE_MS) <= fit) ?? /** @type {number} */ (STEPS_MIN.at(-1))) * MINUTE_MS;
  const found = [];
  // Each day is counted from its own midnight: it may have 23 or 25 hours.
  for (let day = dayStart(0, min); day < max; day = dayStart(0, day + Math.max(step, DAY_MS) + DAY_MS / 24)) {
    const end = step >= DAY_MS ? day + 1 : dayStart(0, day + DAY_MS + DAY_MS / 24);
    for (let at = day; at < Math.min(end, max + 1); at += step) if (at >= min) found.push(at);
  }
  return found;
}

/** A day's name at its midnight, the time otherwise. */
const mark = (/** @type {number} */ at) => (wallTime(at).endsWith('T00:00') ? date(at) : clockTime(at));
