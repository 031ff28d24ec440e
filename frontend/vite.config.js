// Builds the pages into ENMS_FRONTEND_OUT, or dist/. The hexadecimal hash in the names of files tells Nginx what never changes.

import { resolve } from 'node:path';
import { defineConfig } from 'vite';
import { STAGES, plantSvg } from './src/plants/plant.js';

const PAGES = ['index', 'overview', 'dpp_page', 'garden', 'devices', 'analysis/analysis_page'];
const here = import.meta.dirname;

/** The plants as files too, plants/<species>-<stage>.svg, for pages without our scripts. @type {import('vite').Plugin} */
const plantFiles = {
  name: 'plant-files',
  generateBundle() {
    for (const [species, stages] of Object.entries(STAGES)) {
      for (let stage = 1; stage <= stages; stage += 1) {
        this.emitFile({ type: 'asset', fileName: `plants/${species}-${stage}.svg`, source: plantSvg(species, stage, 100) });
      }
    }
  },
};

export default defineConfig({
  root: here,
  build: {
    chunkSizeWarningLimit: 600, // kB: Three.js, which is loaded only with a preview
    outDir: resolve(process.env.ENMS_FRONTEND_OUT ?? resolve(here, 'dist')),
    emptyOutDir: true,
    // A data: URL in a style is refused by our Content-Security-Policy (fonts) or saves next to nothing (pictures).
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: PAGES.map((page) => resolve(here, `${page}.html`)),
      output: {
        hashCharacters: 'hex',
        entryFileNames: 'assets/[name]-[hash:12].js',
        chunkFileNames: 'assets/[name]-[hash:12].js',
        assetFileNames: 'assets/[name]-[hash:12][extname]',
      },
    },
  },
  // npm run dev: the pages from here, the rest from a running stack.
  server: {
    proxy: Object.fromEntries(['/api', '/nodered', '/grafana'].map((path) => [path, { target: process.env.ENMS_HTTP_URL, ws: true }])),
  },
  plugins: [plantFiles],
});
