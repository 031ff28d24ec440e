// What the pages leave to a script: texts, icons, the buttons that close a dialog.

import { icon } from './icons.js';
import { fillTexts, t } from './texts.js';

/** @import { Icon } from './icons.js' */

/** Fills in a page: its texts, the icon of each data-icon, and each data-close, which closes the dialog around it. */
export function fillPage() {
  fillTexts();
  for (const node of document.querySelectorAll('[data-icon]')) node.prepend(icon(/** @type {Icon} */ (node.getAttribute('data-icon'))));
  for (const node of document.querySelectorAll('[data-close]')) {
    node.append(icon('close'));
    node.setAttribute('aria-label', t('dialog.close'));
    node.addEventListener('click', () => node.closest('dialog')?.close());
  }
}
