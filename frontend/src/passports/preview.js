// The running print in three dimensions, from the preview file of the G-code analysis. Drawn only when something changes.

import { BufferAttribute, BufferGeometry, Color, LineBasicMaterial, LineSegments, PerspectiveCamera, Scene, WebGLRenderer } from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { readPreview } from '../../../gcode/preview_reader.js';
import { request, requestJson } from '../common/api.js';
import { h } from '../common/dom.js';
import { t } from '../common/texts.js';
import { colour } from '../common/theme.js';

const NOT_OF_THE_PART = new Set(['skirt', 'brim', 'wipe_tower', 'custom']);

/**
 * @param {HTMLElement} stage
 * @param {string} url  of the preview file
 * @param {any} printer
 * @returns {{progress: (percent: number|null) => void, destroy: () => void}}
 */
export function printPreview(stage, url, printer) {
  const gone = new AbortController();
  let percent = printer.jobProgressPercent;
  let scene = /** @type {ReturnType<typeof drawScene>|null} */ (null);

  (async () => {
    try {
      const answer = await request(url, { signal: gone.signal });
      const model = readPreview(await answer.arrayBuffer());
      if (gone.signal.aborted) return;
      scene = drawScene(stage, model);
      scene.progress(percent);
    } catch (error) {
      if (!gone.signal.aborted) await stillPicture(stage, printer, error);
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

/** Without WebGL, or with a damaged file: the picture that the analysis made, and why. */
async function stillPicture(stage, printer, error) {
  const id = printer.detailed_analysis_data?.jobId;
  const job = id ? await requestJson(`/api/jobs/${id}`).catch(() => null) : null;
  stage.replaceChildren(...(job?.thumbnailUrl ? [h('img', { src: job.thumbnailUrl, alt: t('detail.previewOf') })] : []),
    h('p', { class: 'caption', text: t('detail.previewNone', { error: error.message }) }));
}

function drawScene(stage, model) {
  const canvas = h('canvas', { role: 'img', 'aria-label': t('detail.previewOf') });
  const context = canvas.getContext('webgl2', { antialias: true, alpha: true, powerPreference: 'low-power' });
  if (context === null) throw new Error(t('detail.noWebgl'));
  const { positions, shades, ends, bounds } = geometryOf(model);
  const renderer = new WebGLRenderer({ canvas, context });
  stage.replaceChildren(canvas, h('p', { class: 'caption', text: t('detail.preview') }));

  // One geometry, shown twice: what is printed, and paler what is to come. Neither is transparent: thousands of faint lines one
  // over the other make a black lump, and what is nearer hides the infill behind it.
  const attribute = new BufferAttribute(positions, 3);
  const light = new BufferAttribute(shades, 3, true);
  const make = (material) => {
    const geometry = new BufferGeometry();
    geometry.setAttribute('position', attribute);
    geometry.setAttribute('color', light);
    return new LineSegments(geometry, material);
  };
  const done = make(new LineBasicMaterial({ vertexColors: true }));
  const todo = make(new LineBasicMaterial({ vertexColors: true }));
  const scene = new Scene().add(done, todo);

  const size = Math.max(bounds.max[0] - bounds.min[0], bounds.max[1] - bounds.min[1], bounds.max[2], 1);
  const camera = new PerspectiveCamera(35, 1, size / 100, size * 20);
  camera.up.set(0, 0, 1);
  const middle = [0, 1, 2].map((axis) => (bounds.min[axis] + bounds.max[axis]) / 2);
  camera.position.set(middle[0] + size * 1.25, middle[1] - size * 1.7, middle[2] + size * 1.2);
  const controls = new OrbitControls(camera, canvas);
  controls.target.set(middle[0], middle[1], middle[2]);

  let asked = 0;
  const draw = () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(() => renderer.render(scene, camera));
  };
  const paint = () => {
    done.material.color = new Color(colour('--leaf-fill'));
    todo.material.color = new Color(colour('--line'));
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
      const end = percent === null ? positions.length / 3 : endOfProgress(model.layers, ends, percent);
      done.geometry.setDrawRange(0, end);
      todo.geometry.setDrawRange(end, Infinity);
      draw();
    },
    destroy() {
      cancelAnimationFrame(asked);
      removeEventListener('themechange', paint);
      fit.disconnect();
      controls.dispose();
      for (const lines of [done, todo]) {
        lines.geometry.dispose();
        lines.material.dispose();
      }
      renderer.dispose();
      renderer.forceContextLoss();
    },
  };
}

/** All lines as pairs of points in the order of the layers; ends[i] is the number of points up to the end of layer i. */
function geometryOf({ layers, groups, features }) {
  const ordered = groups.filter((group) => !NOT_OF_THE_PART.has(features[group.feature])).sort((a, b) => a.layer - b.layer);
  const points = ordered.reduce((sum, group) => sum + group.lines.reduce((inner, line) => inner + Math.max(0, line.length / 2 - 1) * 2, 0), 0);
  const positions = new Float32Array(points * 3);
  const shades = new Uint8Array(points * 3);
  const bounds = { min: [Infinity, Infinity, 0], max: [-Infinity, -Infinity, 0] };
  const ends = new Array(layers.length).fill(0);
  let at = 0;
  for (const { layer, lines } of ordered) {
    const { z } = layers[layer];
    bounds.max[2] = Math.max(bounds.max[2], z);
    for (const line of lines) {
      for (let i = 0; i + 3 < line.length; i += 2) {
        positions.set([line[i], line[i + 1], z, line[i + 2], line[i + 3], z], at);
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

/** The points that are printed at a progress, which printers reckon by time. */
function endOfProgress(layers, ends, percent) {
  const last = layers.at(-1);
  if (!last) return 0;
  const second = ((last.start + last.seconds) * percent) / 100;
  const layer = layers.findLastIndex((one) => one.start <= second);
  const before = layer > 0 ? ends[layer - 1] : 0;
  const share = layers[layer].seconds > 0 ? Math.min(1, (second - layers[layer].start) / layers[layer].seconds) : 1;
  return before + Math.round(((ends[layer] - before) * share) / 2) * 2;
}
