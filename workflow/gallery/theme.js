// Before the first paint, so that nothing moves or changes its colours.
document.documentElement.dataset.route = location.hash.length > 1 ? "artwork" : "";
try {
  document.documentElement.dataset.theme = localStorage.getItem("bigart:theme") || "";
} catch { /* no storage */ }
