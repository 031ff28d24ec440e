'use strict';
// Rules for nrlint. Nodes stand in columns by their left edges, so that their centres are not on the grid.
module.exports = {
  rules: {
    'align-to-grid': 'off',
    'function-eslint': true,
    'max-flow-size': { maxSize: 60 },
    'no-duplicate-http-in-urls': true,
    'no-loops': { followLinkNodes: true },
    'no-overlapping-nodes': true,
    'no-unconnected-http-nodes': true,
    'no-unnamed-functions': true,
    'no-unnamed-links': true,
  },
};
