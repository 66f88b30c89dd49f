// @ts-check
// The remembered theme, before anything is painted: a module would come too late and the page would flash.
(() => {
  try {
    const kept = JSON.parse(localStorage.getItem("ironspan.theme") ?? '"auto"');
    if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  } catch {
    // Storage is refused: the system's theme.
  }
})();
