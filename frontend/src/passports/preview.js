// A print in three dimensions, from the preview file of the G-code analysis. Drawn only when something changes.

import {
  BufferAttribute, BufferGeometry, Color, EqualDepth, LineBasicMaterial, LineSegments, PerspectiveCamera, Scene, WebGLRenderer,
} from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { request, sentence } from '../common/api.js';
import { h, setText } from '../common/dom.js';
import { number } from '../common/format.js';
import { icon } from '../common/icons.js';
import { t } from '../common/texts.js';
import { colour } from '../common/theme.js';
import { readPreview } from './preview-reader.js';

/** @import { Layer, Model } from './preview-reader.js' */
/** @typedef {{progress: (percent: number|null) => void, destroy: () => void}} Preview  progress in %, null: all of it is printed */
/** @typedef {{min: number[], max: number[]}} Box  corners x, y, z in mm */
/** @typedef {[width: number, depth: number]|null} Bed  mm; null when it is not known */

const NOT_OF_THE_PART = new Set(['skirt', 'brim', 'wipe_tower', 'custom']);
const GRID_MM = 10;
const TURN_RAD = Math.PI / 6;
const FIELD_OF_VIEW = 35;
const BEHIND = [0.46, -0.72, 0.52]; // from where the print is seen at first: the front, a little from the right and above

/**
 * Draws a print.
 * @param {HTMLElement} stage
 * @param {string} url  of the preview file
 * @param {{progress: number|null, picture: string|null, bed?: Bed}} print  picture: shown where nothing can be drawn
 * @returns {Preview}
 */
export function printPreview(stage, url, { progress, picture, bed = null }) {
  const gone = new AbortController();
  let percent = progress;
  let scene = /** @type {Preview|null} */ (null);

  (async () => {
    try {
      const answer = await request(url, { signal: gone.signal });
      const model = readPreview(await answer.arrayBuffer());
      if (gone.signal.aborted) return;
      scene = drawScene(stage, model, bed);
      scene.progress(percent);
    } catch (error) {
      if (!gone.signal.aborted) stillPicture(stage, picture, error);
    }
  })();

  return {
    progress(next) {
      percent = next;
      scene?.progress(next);
    },
    destroy() {
      gone.abort();
      scene?.destroy();
      stage.replaceChildren();
    },
  };
}

/**
 * Without WebGL, or with a damaged file: the picture that the analysis made, and why.
 * @param {HTMLElement} stage
 * @param {string|null} picture
 * @param {unknown} error
 */
function stillPicture(stage, picture, error) {
  stage.replaceChildren(...(picture ? [h('img', { src: picture, alt: t('detail.previewOf') })] : []),
    h('p', { class: 'caption', text: t('detail.previewNone', { error: sentence(error) }) }));
}

/**
 * @param {HTMLElement} stage
 * @param {Model} model
 * @param {Bed} bed
 * @returns {Preview}
 */
function drawScene(stage, model, bed) {
  const canvas = h('canvas', { role: 'img', 'aria-label': t('detail.previewOf') });
  const context = canvas.getContext('webgl2', { antialias: true, alpha: true, powerPreference: 'low-power' });
  if (context === null) throw new Error(t('detail.noWebgl'));
  const { positions, shades, ends, bounds } = geometryOf(model);
  const renderer = new WebGLRenderer({ canvas, context });
  const caption = h('p', { class: 'caption' });
  const turn = h('button', { type: 'button', class: 'plain icon', 'aria-label': t('detail.turn'), title: t('detail.turn') }, icon('turn'));
  stage.replaceChildren(canvas, caption, turn);

  // One geometry, shown three times: what is printed, and as a veil what is to come. Only the veil's nearest lines are seen,
  // found by drawing its depth first: many faint lines above each other would be as dense as the print.
  const position = new BufferAttribute(positions, 3);
  const color = new BufferAttribute(shades, 3, true);
  const make = (/** @type {object} */ look, /** @type {number} */ order) => {
    const geometry = new BufferGeometry();
    geometry.setAttribute('position', position);
    geometry.setAttribute('color', color);
    const lines = new LineSegments(geometry, new LineBasicMaterial(look));
    lines.renderOrder = order;
    return lines;
  };
  const done = make({ vertexColors: true }, 1);
  const depth = make({ colorWrite: false }, 2);
  const veil = make({ vertexColors: true, transparent: true, opacity: 0.3, depthFunc: EqualDepth }, 3);
  const grid = bedGrid(bed, bounds);
  const scene = new Scene().add(...(grid ? [grid] : []), done, depth, veil);

  const middle = [0, 1, 2].map((axis) => (bounds.min[axis] + bounds.max[axis]) / 2);
  const radius = Math.max(1, Math.hypot(...[0, 1, 2].map((axis) => bounds.max[axis] - bounds.min[axis])) / 2);
  const away = radius / Math.sin((FIELD_OF_VIEW / 360) * Math.PI);
  const camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, away / 100, away * 20);
  camera.up.set(0, 0, 1);
  camera.position.set(middle[0] + away * BEHIND[0], middle[1] + away * BEHIND[1], middle[2] + away * BEHIND[2]);
  const controls = new OrbitControls(camera, canvas);
  controls.target.set(middle[0], middle[1], middle[2]);
  // A finger up or down and a wheel scroll what is around the preview; sideways turns, two fingers and Ctrl + wheel come closer.
  canvas.style.touchAction = 'pan-y';
  // Without dragging: a step around.
  turn.onclick = () => {
    camera.position.sub(controls.target).applyAxisAngle(camera.up, TURN_RAD).add(controls.target);
    controls.update();
  };
  const passWheel = (/** @type {WheelEvent} */ event) => { if (!event.ctrlKey) event.stopPropagation(); };
  stage.addEventListener('wheel', passWheel, { capture: true, passive: true });

  let asked = 0;
  const draw = () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(() => renderer.render(scene, camera));
  };
  const paint = () => {
    done.material.color = new Color(colour('--leaf-fill'));
    veil.material.color = new Color(colour('--soft'));
    if (grid) grid.material.color = new Color(colour('--line'));
    draw();
  };
  const fit = new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = stage;
    if (width === 0 || height === 0) return;
    renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    renderer.setSize(width, height, false);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
    draw();
  });
  fit.observe(stage);
  controls.addEventListener('change', draw);
  controls.update();
  addEventListener('themechange', paint);
  paint();

  return {
    progress(percent) {
      const whole = { layer: model.layers.length - 1, end: positions.length / 3 };
      const { layer, end } = percent === null ? whole : reached(model.layers, ends, percent);
      done.geometry.setDrawRange(0, end);
      for (const lines of [depth, veil]) lines.geometry.setDrawRange(end, Infinity);
      setText(caption, t(percent === null ? 'detail.layers' : 'detail.layerOf', { layer: number(layer + 1), all: number(model.layers.length) }));
      draw();
    },
    destroy() {
      cancelAnimationFrame(asked);
      removeEventListener('themechange', paint);
      stage.removeEventListener('wheel', passWheel, { capture: true });
      fit.disconnect();
      controls.dispose();
      for (const lines of [done, depth, veil, ...(grid ? [grid] : [])]) {
        lines.geometry.dispose();
        lines.material.dispose();
      }
      renderer.dispose();
      renderer.forceContextLoss();
    },
  };
}

/**
 * The bed below the print; null when its size is not known or the print lies elsewhere (a machine with its origin in the middle).
 * @param {Bed} bed
 * @param {Box} bounds  of the print
 */
function bedGrid(bed, { min, max }) {
  if (bed === null || min[0] < 0 || min[1] < 0 || max[0] > bed[0] || max[1] > bed[1]) return null;
  const [width, depth] = bed;
  const points = [];
  for (let x = 0; x <= width; x += GRID_MM) points.push(x, 0, 0, x, depth, 0);
  for (let y = 0; y <= depth; y += GRID_MM) points.push(0, y, 0, width, y, 0);
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(new Float32Array(points), 3));
  return new LineSegments(geometry, new LineBasicMaterial());
}

/**
 * All lines as pairs of points (positions: x, y, z in mm) in the order of the layers; ends[i] is the number of points up to the end
 * of layer i.
 * @param {Model} model
 */
function geometryOf({ layers, groups, features }) {
  const ordered = groups.filter((group) => !NOT_OF_THE_PART.has(features[group.feature])).sort((a, b) => a.layer - b.layer);
  const points = ordered.flatMap((group) => group.lines).reduce((sum, line) => sum + Math.max(0, line.length - 2), 0);
  const positions = new Float32Array(points * 3);
  const shades = new Uint8Array(points * 3);
  /** @type {Box} */
  const bounds = { min: [Infinity, Infinity, 0], max: [-Infinity, -Infinity, 0] };
  /** @type {number[]} */
  const ends = new Array(layers.length).fill(0);
  let at = 0;
  for (const { layer, lines } of ordered) {
    const { z } = layers[layer];
    bounds.max[2] = Math.max(bounds.max[2], z);
    for (const line of lines) {
      for (let i = 0; i + 3 < line.length; i += 2) {
        positions[at] = line[i];
        positions[at + 1] = line[i + 1];
        positions[at + 2] = z;
        positions[at + 3] = line[i + 2];
        positions[at + 4] = line[i + 3];
        positions[at + 5] = z;
        // Lit from one side, so that the surface is seen.
        shades.fill(110 + 145 * Math.abs(Math.sin(Math.atan2(line[i + 3] - line[i + 1], line[i + 2] - line[i]) + 0.5)), at, at + 6);
        at += 6;
      }
      for (let i = 0; i < line.length; i += 2) {
        for (const axis of [0, 1]) {
          bounds.min[axis] = Math.min(bounds.min[axis], line[i + axis]);
          bounds.max[axis] = Math.max(bounds.max[axis], line[i + axis]);
        }
      }
    }
    ends[layer] = at / 3;
  }
  for (let i = 1; i < ends.length; i += 1) ends[i] = Math.max(ends[i], ends[i - 1]);
  return { positions, shades, ends, bounds };
}

/**
 * The layer, and the number of points, that are printed at a progress, which printers compute by time.
 * @param {Layer[]} layers
 * @param {number[]} ends  as geometryOf() returns them
 * @param {number} percent
 */
function reached(layers, ends, percent) {
  const last = layers.at(-1);
  if (!last) return { layer: -1, end: 0 };
  const second = ((last.start + last.seconds) * percent) / 100;
  const layer = Math.max(0, layers.findLastIndex((one) => one.start <= second));
  const before = layer > 0 ? ends[layer - 1] : 0;
  const share = layers[layer].seconds > 0 ? Math.min(1, (second - layers[layer].start) / layers[layer].seconds) : 1;
  return { layer, end: before + Math.round(((ends[layer] - before) * share) / 2) * 2 };
}
