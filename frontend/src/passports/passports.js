// The passports of all printers, as a carousel or a grid, and the list of their prints.

import Swiper from 'swiper';
import { A11y, Keyboard, Mousewheel } from 'swiper/modules';
import { oneOf } from '../common/choice.js';
import { byId, h, rem, setText } from '../common/dom.js';
import { byName, passportLink } from '../common/fleet.js';
import { icon } from '../common/icons.js';
import { fillPage } from '../common/page.js';
import { isShortcut, keysOn, onState, pageState, setState, setTitle } from '../common/pagestate.js';
import { connectionNotice, poll, summaryUrl } from '../common/poll.js';
import { GROUPS, urgency } from '../common/status.js';
import { t } from '../common/texts.js';
import { passportCard } from './card.js';
import { followPrint } from './print.js';
import { printsView } from './prints.js';

/** @import { Printer, Summary } from '../common/types.d.ts' */
/** @import { Card } from './card.js' */
/** @typedef {{slide: HTMLElement, printer: Printer, card: Card|null}} Place */
/** @typedef {(a: Printer, b: Printer) => number} Order */

const ARRANGE = 'enms.arrange';

/**
 * Downwards, what is unknown last.
 * @param {(printer: Printer) => number|null} value
 * @returns {Order}
 */
const byNumber = (value) => (a, b) => (value(b) ?? -1) - (value(a) ?? -1);

/** @type {Record<string, Order>} */
const SORTS = {
  name: byName,
  status: (a, b) => urgency(a) - urgency(b) || byName(a, b),
  energy: byNumber((printer) => printer.kwhLast24h),
  print: byNumber((printer) => printer.jobKwhConsumed),
  power: byNumber((printer) => printer.powerWatts),
};

/** @type {Printer[]} */
let printers = [];
let loaded = false;
/** deviceId → its place and, while that is on the screen, its card. @type {Map<string, Place>} */
const places = new Map();
/** Whose back is shown. @type {Set<string>} */
const flipped = new Set();
/** @type {Swiper|null} */
let swiper = null;
let order = '';

fillPage();
const prints = printsView();
/** A wall screen with room for two rows of cards begins with the grid. */
const roomy = () => innerHeight > 80 * rem();
const carousel = () => (pageState().get('arrange') ?? localStorage.getItem(ARRANGE) ?? (roomy() ? 'grid' : 'carousel')) === 'carousel';

// Only what is on the screen, or about to be, has a card.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const place = places.get(entry.target.getAttribute('data-device') ?? '');
    if (place && entry.isIntersecting) mount(place);
    else if (place) unmount(place);
  }
}, { rootMargin: '25% 30%' });

/** @param {Place} place */
function mount(place) {
  if (place.card) return;
  const id = place.printer.deviceId;
  place.card = passportCard(place.printer, {
    flipped: flipped.has(id),
    onFlip: (to) => flip(id, to),
    onShare: () => share(place.printer),
  });
  place.slide.append(place.card.element);
}

/** @param {Place} place */
function unmount(place) {
  // The focus must not vanish with a card that is scrolled away.
  if (!place.card || place.slide.contains(document.activeElement)) return;
  place.card.destroy();
  place.card.element.remove();
  place.card = null;
}

/**
 * Remembers which side of a passport is shown.
 * @param {string} id
 * @param {boolean} back
 */
function remember(id, back) {
  if (back) flipped.add(id);
  else flipped.delete(id);
}

/**
 * Turns a passport over, by hand.
 * @param {string} id
 * @param {boolean} to  its back
 */
function flip(id, to) {
  remember(id, to);
  const place = places.get(id);
  if (!place?.card) return;
  place.card.flip(to);
  /** @type {HTMLElement|null} */ (place.card.element.querySelector(to ? '.back .turn' : '.front .turn'))?.focus({ preventScroll: true });
  setState({ device: id, side: to ? 'back' : null });
  setTitle(title());
}

// What is shown, and in which order

function selected() {
  const state = pageState();
  const search = (state.get('search') ?? '').toLocaleLowerCase();
  const group = oneOf(state.get('show'), Object.keys(GROUPS), null);
  const sort = oneOf(state.get('sort'), Object.keys(SORTS), 'name');
  const text = (/** @type {Printer} */ { friendlyName, deviceId, model, location, jobFilename, currentMaterial }) => (
    [friendlyName, deviceId, model, location, jobFilename, currentMaterial].join(' ').toLocaleLowerCase());
  const inGroup = printers.filter((printer) => group === null || GROUPS[group](printer));
  return inGroup.filter((printer) => search === '' || text(printer).includes(search)).sort(SORTS[sort]);
}

/** The view, or the one passport that the address names. */
function title() {
  if (pageState().get('view') === 'prints') return t('prints.title');
  return places.get(pageState().get('device') ?? '')?.printer.friendlyName ?? t('passports.title');
}

function show() {
  const inPrints = pageState().get('view') === 'prints';
  byId('cards-view').hidden = inPrints;
  byId('prints-view').hidden = !inPrints;
  if (inPrints) prints.show();
  setTitle(title());
  showTools();
  for (const printer of printers) {
    const place = places.get(printer.deviceId);
    if (!place) continue;
    place.printer = printer;
    place.card?.update(printer);
  }
  const shown = selected();
  setText(byId('count'), shown.length === printers.length ? '' : t('passports.count', { shown: shown.length, all: printers.length }));
  const none = loaded && printers.length === 0;
  byId('none').hidden = !none;
  byId('tools').hidden = none;
  byId('no-match').hidden = printers.length === 0 || shown.length > 0;
  byId('stage').hidden = shown.length === 0;
  arrange(shown);
}

/** @param {Printer[]} shown  in their order */
function arrange(shown) {
  const asCarousel = carousel();
  const next = `${asCarousel} ${shown.map((printer) => printer.deviceId).join(' ')}`;
  if (next === order || byId('cards-view').hidden) return;
  const ids = new Set(shown.map((printer) => printer.deviceId));
  for (const [id, place] of places) {
    if (ids.has(id)) continue;
    seen.unobserve(place.slide);
    place.card?.destroy();
    place.slide.remove();
    places.delete(id);
  }
  const slides = shown.map((printer) => {
    const known = places.get(printer.deviceId);
    if (known) return known.slide;
    const slide = h('li', { class: 'swiper-slide', 'data-device': printer.deviceId });
    places.set(printer.deviceId, { slide, printer, card: null });
    seen.observe(slide);
    return slide;
  });
  if (order.split(' ').slice(1).join(' ') !== shown.map((printer) => printer.deviceId).join(' ')) byId('slides').replaceChildren(...slides);
  order = next;
  byId('stage').dataset.arrange = asCarousel ? 'carousel' : 'grid';
  byId('steps').hidden = !asCarousel;
  if (!asCarousel) {
    swiper?.destroy(true, true);
    swiper = null;
  } else if (swiper === null) {
    swiper = new Swiper('#swiper', {
      modules: [Keyboard, Mousewheel, A11y],
      slidesPerView: 'auto', spaceBetween: 20, centeredSlides: false, watchOverflow: true, grabCursor: true,
      speed: matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 320,
      keyboard: { enabled: true, onlyInViewport: true },
      mousewheel: { forceToAxis: true },
      noSwipingSelector: '.details, button',
      a11y: { slideRole: 'listitem', wrapperLiveRegion: false },
      on: { slideChange: showSteps, resize: showSteps, update: showSteps },
    });
  } else swiper.update();
  evenRows();  // the end of the carousel takes every style off the list
  showSteps();
}

const NARROWEST_REM = 22.5;
const WIDEST_REM = 32;
const GAP_REM = 1.25;

/** In the grid: no lonely card in the last row where the cards before it could share the width. */
function evenRows() {
  const unit = rem();
  const width = byId('stage').clientWidth + GAP_REM * unit;
  const fit = (/** @type {number} */ least) => Math.max(1, Math.floor(width / ((least + GAP_REM) * unit)));
  const count = byId('slides').children.length;
  const rows = Math.max(1, Math.ceil(count / fit(NARROWEST_REM)));
  const columns = Math.max(Math.ceil(count / rows), Math.min(count, fit(WIDEST_REM)), 1);
  byId('slides').style.setProperty('--columns', String(columns));
}
addEventListener('resize', evenRows);

function showSteps() {
  if (!swiper) return;
  byId('previous').disabled = swiper.isBeginning;
  byId('next').disabled = swiper.isEnd;
  byId('steps').hidden = swiper.isBeginning && swiper.isEnd;
}

/** Opens the passport of the address: brings it into view, on the side that is asked for. */
function openLinked() {
  const id = pageState().get('device');
  const place = id === null ? null : places.get(id);
  if (!place || !id) return;
  const back = pageState().get('side') === 'back';
  remember(id, back);
  place.card?.flip(back);
  const index = [...byId('slides').children].indexOf(place.slide);
  if (swiper) swiper.slideTo(index, 0);
  else place.slide.scrollIntoView({ block: 'center' });
  for (const other of places.values()) other.slide.toggleAttribute('data-linked', other === place);
  setTitle(title());
}

// Tools

/**
 * @param {'filter'|'sort'} prefix  of the keys of their texts
 * @param {string[]} values
 */
const options = (prefix, values) => values.map((value) => h('option', { value, text: t(`${prefix}.${value}`) }));

function showTools() {
  const state = pageState();
  byId('filter').value = state.get('show') ?? 'all';
  byId('sort').value = state.get('sort') ?? 'name';
  if (document.activeElement !== byId('search')) byId('search').value = state.get('search') ?? '';
  const now = carousel() ? 'carousel' : 'grid';
  for (const button of byId('arrange').querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.value === now));
}

byId('filter').append(...options('filter', ['all', ...Object.keys(GROUPS)]));
byId('sort').append(...options('sort', Object.keys(SORTS)));
byId('filter').onchange = () => change({ show: byId('filter').value === 'all' ? null : byId('filter').value });
byId('sort').onchange = () => change({ sort: byId('sort').value === 'name' ? null : byId('sort').value });
byId('search').oninput = () => change({ search: byId('search').value });
byId('show-all').onclick = () => change({ search: null, show: null });
byId('arrange').append(...['carousel', 'grid'].map((name) => h('button', {
  type: 'button', 'data-value': name, 'aria-label': t(`passports.${name}`), title: t(`passports.${name}`),
  onclick: () => {
    localStorage.setItem(ARRANGE, name);
    change({ arrange: null });
  },
}, icon(name === 'carousel' ? 'cards' : 'grid'))));
byId('previous').onclick = () => swiper?.slidePrev();
byId('next').onclick = () => swiper?.slideNext();

/** @param {Record<string, string|null>} changes  of the address */
function change(changes) {
  setState(changes);
  show();
}

addEventListener('keydown', (event) => {
  if (!isShortcut(event) || !keysOn()) return;
  if (event.key === '/') {
    event.preventDefault();
    byId(byId('cards-view').hidden ? 'prints-search' : 'search').focus();
  }
  if (event.key === 'f' && !byId('cards-view').hidden) {
    const slide = document.activeElement?.closest('.swiper-slide') ?? byId('slides').children[swiper?.activeIndex ?? 0];
    const id = slide?.getAttribute('data-device');
    if (id) flip(id, !flipped.has(id));
  }
});

// Share

/** @param {Printer} printer */
function share(printer) {
  byId('share-link').value = new URL(passportLink(printer), location.origin).href;
  setText(byId('share-done'), '');
  byId('share').showModal();
  byId('share-link').select();
}
byId('share-copy').onclick = async () => {
  byId('share-link').select();
  // Over plain HTTP in a factory's network there is no clipboard API.
  if (navigator.clipboard) await navigator.clipboard.writeText(byId('share-link').value).catch(() => document.execCommand('copy'));
  else document.execCommand('copy');
  setText(byId('share-done'), t('share.copied'));
};

onState(() => {
  show();
  openLinked();
});
show();
followPrint();
poll(summaryUrl(pageState()), (/** @type {Summary} */ summary) => {
  const first = !loaded;
  loaded = true;
  printers = summary.printers;
  prints.summary(summary.globalHistory);
  show();
  if (first) openLinked();
}, { tell: connectionNotice(byId('notice')) });
