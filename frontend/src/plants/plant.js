// Draws a plant as SVG text: species, stage of growth and health in, numbers and colours as plain attributes out (no inline styles).
// Runs in the browser and in the build. Everything is computed from the arguments, so equal plants are equal pictures.

/** @typedef {number[]} Colour  red, green, blue: 0 … 255 */
/** @typedef {'stem'|'leaf'|'light'} Tone */
/** @typedef {{x: number, y: number}} Point */
/** @typedef {1|-1} Side  right or left */

/** Stages of each species, as python-api/plants.py counts them. @type {Record<string, number>} */
export const STAGES = { generic_plant: 21, corn: 8, sunflower: 7, tomato: 12 };

const GROUND = 100; // y of the soil in the 120 × 120 picture
const MIDDLE = 60;

/** @type {Record<Tone, Colour>} */
const GREEN = { stem: [74, 138, 70], leaf: [66, 158, 84], light: [118, 190, 96] };
/** @type {Record<Tone, Colour>} */
const DRY = { stem: [146, 122, 74], leaf: [168, 138, 78], light: [190, 164, 104] };

/**
 * @param {string} species  a key of STAGES; another one is drawn as generic_plant
 * @param {number} stage  1 … STAGES[species]
 * @param {number|null} [health]  0 wilted … 100 thriving; null (nothing to compare with) is drawn as healthy
 * @returns {string} an <svg> element
 */
export function plantSvg(species, stage, health = 100) {
  const known = Object.hasOwn(STAGES, species) ? species : 'generic_plant';
  const stages = STAGES[known];
  const wilt = 1 - Math.min(100, Math.max(0, health ?? 100)) / 100;
  const plant = new Plant(wilt);
  SPECIES[known](plant, Math.min(stages, Math.max(1, stage)));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 120">${POT}<defs>${[...plant.shapes.values()].join('')}</defs><g class="sway">${plant.parts.join('')}</g>${RIM}</svg>`;
}

const POT = '<ellipse cx="60" cy="100.5" rx="21" ry="3.6" fill="#5b4433"/><path d="M38 101.5h44l-4.2 15.4a3 3 0 0 1-2.9 2.1H45.1a3 3 0 0 1-2.9-2.1z" fill="#b9683f"/>';
const RIM = '<path d="M36.6 99.4h3.2c4 3.6 36.4 3.6 40.4 0h3.2a1.4 1.4 0 0 1 1.4 1.7l-.7 4a1.8 1.8 0 0 1-1.8 1.4H37.7a1.8 1.8 0 0 1-1.8-1.4l-.7-4a1.4 1.4 0 0 1 1.4-1.7z" fill="#cf7a4c"/>';

class Plant {
  /** @param {number} wilt  0 healthy … 1 dry */
  constructor(wilt) {
    this.wilt = wilt;
    /** @type {string[]} */
    this.parts = [];
    /** What `<use>` refers to, by its id. @type {Map<string, string>} */
    this.shapes = new Map();
  }

  /** @param {Tone} tone */
  colour(tone) {
    return rgb(mix(GREEN[tone], DRY[tone], Math.min(1, this.wilt * 1.15)));
  }

  /**
   * A colour that fades when the plant wilts.
   * @param {Colour} colour
   */
  fade(colour) {
    return rgb(mix(colour, [150, 128, 92], this.wilt * 0.7));
  }

  /**
   * A stem from the soil, bent by wilting.
   * @param {number} height
   * @param {number} width
   * @param {{sway?: number, bend?: number}} [shape]  sway: how far its tip is to the right; bend: how much wilting bends it
   * @returns {(t: number) => Point & {angle: number}} the point and direction (degrees, −90 is up) at a share of its length
   */
  stem(height, width, { sway = 0, bend = 1 } = {}) {
    const hang = this.wilt * bend;
    const root = [MIDDLE, GROUND];
    const tip = [MIDDLE + sway + hang * height * 0.42, GROUND - height * (1 - 0.3 * hang)];
    const control = [MIDDLE - sway * 0.6 - hang * height * 0.06, GROUND - height * (0.72 + 0.2 * hang)];
    this.add(`<path d="M${MIDDLE} ${GROUND}Q${f(control[0])} ${f(control[1])} ${f(tip[0])} ${f(tip[1])}" fill="none" stroke="${this.colour('stem')}" stroke-width="${f(width)}" stroke-linecap="round"/>`);
    return (t) => {
      const [x, y] = [0, 1].map((i) => (1 - t) ** 2 * root[i] + 2 * (1 - t) * t * control[i] + t * t * tip[i]);
      const [across, down] = [0, 1].map((i) => 2 * (1 - t) * (control[i] - root[i]) + 2 * t * (tip[i] - control[i]));
      return { x, y, angle: (Math.atan2(down, across) * 180) / Math.PI };
    };
  }

  /**
   * A leaf.
   * @param {Point} at
   * @param {Side} side
   * @param {number} length
   * @param {{lift: number, width?: number, tone?: Tone, curve?: number}} shape  lift: degrees above the horizontal; width and curve: shares of the length
   */
  leaf({ x, y }, side, length, { lift, width = 0.34, tone = 'leaf', curve = 0.12 }) {
    if (length < 0.5) return;
    const angle = -(lift - this.wilt * (60 + lift * 0.6));
    this.add(`<use href="#${this.leafShape(width, curve, tone)}" transform="translate(${f(x)} ${f(y)}) scale(${f(side * length)} ${f(length)}) rotate(${Math.round(angle)})"/>`);
  }

  /**
   * A leaf of length 1 is kept once and used in many places. Its id tells its shape, so that plants on one page may share ids.
   * @param {number} width
   * @param {number} curve
   * @param {Tone} tone
   */
  leafShape(width, curve, tone) {
    const id = `${tone === 'light' ? 'a' : 'b'}${Math.round(width * 100)}-${Math.round(curve * 100)}-${Math.round(this.wilt * 100)}`;
    if (!this.shapes.has(id)) {
      const w = width * (1 - 0.35 * this.wilt);
      const droop = curve + 0.16 * this.wilt;
      const arch = droop * 0.3; // where the middle of the leaf runs before its tip hangs
      this.shapes.set(id, `<g id="${id}"><path d="M0 0C.25 ${f2(-w)} .75 ${f2(arch - w * 0.7)} 1 ${f2(droop)}C.7 ${f2(arch + w * 0.6)} .25 ${f2(w * 0.55)} 0 0z" fill="${this.colour(tone)}"/>`
        + `<path d="M0 0Q.5 ${f2(arch * 0.4 - w * 0.18)} .86 ${f2(droop * 0.75)}" fill="none" stroke="${this.colour('light')}" stroke-width=".035"/></g>`);
    }
    return id;
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} radius
   * @param {string} colour
   */
  circle(x, y, radius, colour) {
    this.add(`<circle cx="${f(x)}" cy="${f(y)}" r="${f(radius)}" fill="${colour}"/>`);
  }

  /**
   * Petals around a middle.
   * @param {number} x
   * @param {number} y
   * @param {number} radius
   * @param {number} petals  how many
   * @param {Colour} colour
   * @param {Colour} middle
   * @param {{tilt?: number, inner?: number}} [shape]  tilt: degrees; inner: radius of the middle, a share of the whole
   */
  flower(x, y, radius, petals, colour, middle, { tilt = 0, inner = 0.36 } = {}) {
    const id = `petals-${petals}`;
    if (!this.shapes.has(id)) {
      const ring = Array.from({ length: petals }, (_, i) => `<path transform="rotate(${Math.round((360 * i) / petals)})" d="M0 0C.22-.5 .2-.9 0-1C-.2-.9-.22-.5 0 0z"/>`).join('');
      this.shapes.set(id, `<g id="${id}">${ring}</g>`);
    }
    this.add(`<g transform="translate(${f(x)} ${f(y)}) rotate(${f(tilt)})"><use href="#${id}" fill="${this.fade(colour)}" transform="scale(${f(radius)})"/><circle r="${f(radius * inner)}" fill="${this.fade(middle)}"/></g>`);
  }

  seed() {
    this.add(`<ellipse cx="${MIDDLE}" cy="98.4" rx="3.6" ry="2.5" fill="${rgb([196, 160, 98])}"/><path d="M57.6 97.6q2.4-1.4 4.8 0" fill="none" stroke="#8c6a3a" stroke-width="0.6"/>`);
  }

  /**
   * The first two leaves of every seedling.
   * @param {number} size  0 … 1
   */
  sprout(size) {
    const at = this.stem(6 + 8 * size, 1.6 + size);
    this.leaf(at(1), 1, 6 + 7 * size, { lift: 35, tone: 'light', width: 0.42 });
    this.leaf(at(1), -1, 6 + 7 * size, { lift: 35, tone: 'light', width: 0.42 });
  }

  /** @param {string} part  SVG */
  add(part) { this.parts.push(part); }
}

/** Each draws a plant at a stage. @type {Record<string, (plant: Plant, stage: number) => void>} */
const SPECIES = {
  /** Seed, sprout, pairs of leaves, buds, flowers: 21 stages. */
  generic_plant(plant, stage) {
    if (stage === 1) return plant.seed();
    if (stage <= 3) return plant.sprout((stage - 2) / 1.6);
    const grown = (stage - 3) / 18;
    const at = plant.stem(14 + 62 * grown ** 0.85, 2 + 1.8 * grown, { sway: 3 * Math.sin(stage) });
    const pairs = Math.min(6, 1 + Math.floor((stage - 3) / 2.5));
    for (let i = 0; i < pairs; i += 1) {
      const t = 0.22 + (0.72 * (i + 0.5)) / pairs;
      const length = (11 + 22 * grown) * (1.1 - 0.5 * t);
      plant.leaf(at(t), 1, length, { lift: 26 + 26 * t, width: 0.4, tone: i % 2 ? 'leaf' : 'light' });
      plant.leaf(at(t - 0.06), -1, length, { lift: 28 + 26 * t, width: 0.4, tone: i % 2 ? 'light' : 'leaf' });
    }
    const tip = at(1);
    plant.leaf(tip, 1, 6 + 5 * grown, { lift: 62, tone: 'light' });
    plant.leaf(tip, -1, 6 + 5 * grown, { lift: 58, tone: 'light' });
    const places = [[1, 0], [0.84, 9], [0.8, -10], [0.64, 14], [0.6, -14]];
    const buds = Math.min(places.length, stage - 15);
    for (let i = 0; i < buds; i += 1) {
      const { x, y } = at(places[i][0]);
      const bloom = Math.min(1, (stage - 16 - i * 0.5) / 4);
      if (bloom <= 0.1) plant.circle(x + places[i][1], y - 4, 2.2, plant.fade([196, 96, 142]));
      else plant.flower(x + places[i][1], y - 4, 3.4 + 4.6 * bloom, 6, [232, 120, 166], [250, 208, 84], { tilt: i * 17 });
    }
  },

  /** Blades, stalk, tassel, cobs that ripen: 8 stages. */
  corn(plant, stage) {
    if (stage === 1) return plant.seed();
    const grown = (stage - 1) / 7;
    const at = plant.stem(16 + 64 * grown ** 0.8, 2.4 + 2.4 * grown, { bend: 0.55 });
    const blades = [0, 0, 3, 5, 7, 8, 8, 8, 8][stage];
    for (let i = 0; i < blades; i += 1) {
      const t = 0.08 + (0.8 * i) / Math.max(1, blades - 1);
      plant.leaf(at(t), i % 2 ? -1 : 1, (18 + 24 * grown) * (1.1 - 0.4 * t), { lift: 54 + 12 * t, width: 0.13, curve: 0.5, tone: i % 3 ? 'leaf' : 'light' });
    }
    if (stage === 2) {
      plant.leaf(at(1), 1, 13, { lift: 68, width: 0.2, curve: 0.25, tone: 'light' });
      plant.leaf(at(0.8), -1, 11, { lift: 62, width: 0.2, curve: 0.25, tone: 'light' });
    }
    if (stage >= 6) {
      const tip = at(0.98);
      for (const turn of [-52, -28, -9, 9, 28, 52]) {
        plant.add(`<path transform="translate(${f(tip.x)} ${f(tip.y)}) rotate(${f(turn + plant.wilt * 60)})" d="M0 2Q${f(turn / 14)} -7 0 -${f(9 + grown * 4 - Math.abs(turn) / 12)}" fill="none" stroke="${plant.fade([214, 182, 92])}" stroke-width="1.1" stroke-linecap="round"/>`);
      }
    }
    if (stage >= 6) cob(plant, at(0.42), 1, stage);
    if (stage >= 7) cob(plant, at(0.56), -1, stage);
  },

  /** Heart leaves, bud, a head that opens: 7 stages. */
  sunflower(plant, stage) {
    if (stage === 1) return plant.seed();
    if (stage === 2) return plant.sprout(0.7);
    const grown = (stage - 2) / 5;
    const at = plant.stem(18 + 50 * grown, 2.4 + 2 * grown, { bend: 1.15 });
    const leaves = [0, 0, 0, 2, 4, 6, 7, 7][stage];
    for (let i = 0; i < leaves; i += 1) {
      const t = 0.15 + (0.62 * i) / Math.max(1, leaves - 1);
      plant.leaf(at(t), i % 2 ? -1 : 1, (12 + 13 * grown) * (1.1 - 0.4 * t), { lift: 24 + 16 * t, width: 0.5, curve: 0.2 });
    }
    const { x, y, angle } = at(1);
    const tilt = angle + 90 + plant.wilt * 50;
    if (stage <= 4) {
      plant.leaf({ x, y }, 1, 8, { lift: 65, tone: 'light' });
      plant.leaf({ x, y }, -1, 8, { lift: 65, tone: 'light' });
    }
    if (stage === 4) plant.circle(x, y - 2, 3.4, plant.colour('light'));
    if (stage === 5) plant.flower(x, y - 3, 8.5, 9, [150, 186, 84], [108, 158, 70], { tilt, inner: 0.62 });
    if (stage >= 6) {
      const radius = stage === 6 ? 14 : 20;
      plant.flower(x, y - 3, radius, 16, [240, 168, 36], [110, 70, 34], { tilt: tilt + 11, inner: 0.4 });
      plant.flower(x, y - 3, radius * 0.9, 16, [250, 200, 52], [92, 58, 30], { tilt, inner: 0.48 });
      plant.circle(x, y - 3, radius * 0.26, plant.fade([132, 88, 44]));
    }
  },

  /** Climbs a stick, flowers, green fruit, red fruit: 12 stages. */
  tomato(plant, stage) {
    if (stage === 1) return plant.seed();
    if (stage <= 3) return plant.sprout((stage - 1) / 2.2);
    const grown = (stage - 3) / 9;
    if (stage >= 5) plant.add('<path d="M67.5 100V16" stroke="#a98a5c" stroke-width="1.8" stroke-linecap="round"/>');
    const at = plant.stem(20 + 54 * grown ** 0.8, 2.2 + 1.6 * grown, { sway: 3, bend: 0.7 });
    const branches = Math.min(8, stage - 1);
    for (let i = 0; i < branches; i += 1) {
      const t = 0.2 + (0.76 * i) / Math.max(1, branches - 1);
      const length = (17 + 15 * grown) * (1.1 - 0.5 * t);
      frond(plant, at(t), i % 2 ? -1 : 1, length, 16 + 26 * t);
      if (stage >= 5) frond(plant, at(t - 0.07), i % 2 ? 1 : -1, length * 0.72, 22 + 26 * t);
    }
    const places = [[0.5, 13], [0.66, -12], [0.36, -14], [0.8, 9], [0.3, 15], [0.56, -4]];
    const hanging = stage < 7 ? 0 : Math.min(places.length, stage - 5);
    for (let i = 0; i < hanging; i += 1) {
      const { x, y } = at(places[i][0]);
      const age = stage - 7 - i * 0.6;
      const px = x + places[i][1];
      const py = y + 5 + plant.wilt * 4;
      if (age < 1.6) plant.flower(px, py - 3, 4.2, 5, [248, 206, 66], [226, 160, 40]);
      else {
        plant.circle(px, py, Math.min(6, 3 + age * 0.7), plant.fade(mix([132, 178, 74], [222, 62, 48], Math.min(1, Math.max(0, (age - 2.2) / 1.8)))));
        plant.flower(px, py - Math.min(6, 3 + age * 0.7) * 0.85, 2.8, 5, GREEN.leaf, GREEN.stem, { inner: 0.2 });
      }
    }
  },
};

/**
 * A cob of corn, ripe at stage 8.
 * @param {Plant} plant
 * @param {Point} at
 * @param {Side} side
 * @param {number} stage
 */
function cob(plant, { x, y }, side, stage) {
  const ripe = stage === 8;
  const size = stage === 6 ? 0.7 : ripe ? 1.1 : 0.9;
  const inside = ripe
    ? `<path d="M0 1C-4 -6 -3 -16 0 -19C4 -16 5 -6 2 1z" fill="${plant.fade([246, 200, 66])}"/><path d="M-2 -4h5M-2.4 -8h5.4M-2 -12h4.4" stroke="${plant.fade([214, 158, 40])}" stroke-width="0.7"/>`
    : `<path d="M-1 -14q2 -5 4 -6M0 -14q0 -5 1 -7" stroke="${plant.fade([190, 120, 70])}" stroke-width="0.9" fill="none"/>`;
  const husk = `<path d="M-1 2C-6 -4 -4 ${ripe ? -11 : -15} 0 ${ripe ? -10 : -16}C1 -8 2 -4 3 2z" fill="${plant.colour('leaf')}"/>`
    + `<path d="M3 2C7 -3 6 ${ripe ? -10 : -14} 1 ${ripe ? -9 : -16}C1 -8 0 -3 0 2z" fill="${plant.colour('light')}"/>`;
  plant.add(`<g transform="translate(${f(x + side * 1.5)} ${f(y)}) scale(${f(side * size)} ${f(size)}) rotate(${f(24 + plant.wilt * 40)})">${inside}${husk}</g>`);
}

/**
 * A tomato's leaf: small ones along a twig.
 * @param {Plant} plant
 * @param {Point} at
 * @param {Side} side
 * @param {number} length
 * @param {number} lift  degrees above the horizontal
 */
function frond(plant, { x, y }, side, length, lift) {
  const angle = -(lift - plant.wilt * (55 + lift * 0.5));
  const id = `frond-${Math.round(plant.wilt * 100)}`;
  if (!plant.shapes.has(id)) {
    const leaves = [[1, 0, 0.52], [0.7, -36, 0.44], [0.68, 38, 0.44], [0.34, -42, 0.36], [0.32, 44, 0.36]]
      .map(([at, turn, size]) => `<path transform="translate(${f2(at * 0.62)} 0) rotate(${turn})" d="M0 0Q${f2(size * 0.5)} ${f2(-size * 0.5)} ${f2(size)} 0Q${f2(size * 0.5)} ${f2(size * 0.5)} 0 0z"/>`).join('');
    plant.shapes.set(id, `<g id="${id}"><path d="M0 0H.62" stroke="${plant.colour('stem')}" stroke-width=".06"/><g fill="${plant.colour('leaf')}">${leaves}</g></g>`);
  }
  plant.add(`<use href="#${id}" transform="translate(${f(x)} ${f(y)}) scale(${f(side * length)} ${f(length)}) rotate(${Math.round(angle)})"/>`);
}

const f2 = (/** @type {number} */ value) => String(Math.round(value * 1000) / 1000);
const f = (/** @type {number} */ value) => String(Math.round(value * 10) / 10);
/**
 * @param {Colour} a
 * @param {Colour} b
 * @param {number} share  of b
 */
const mix = (a, b, share) => a.map((value, i) => value + (b[i] - value) * share);
const rgb = (/** @type {Colour} */ channels) => `#${channels.map((value) => Math.round(Math.min(255, Math.max(0, value))).toString(16).padStart(2, '0')).join('')}`;
