// Runs before the first paint, so that a dark room sees no white flash. src/common/theme.js has the rest.
(function () {
  try {
    const chosen = localStorage.getItem('enms.theme');
    if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is forbidden here: the system's theme holds.
  }
})();
