// Runs before the first paint, so that a page never flashes in the other colours.
(() => {
  try {
    const chosen = localStorage.getItem("sidecar.theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch {
    // A browser that keeps nothing shows what the system prefers.
  }
})();
