/* Sets the chosen colours before the first paint, so that a dark page never flashes white. A classic script on purpose:
   modules run after parsing. "auto" (nothing stored) leaves it to prefers-color-scheme. */
(function () {
    let chosen = null;
    try {
        chosen = localStorage.getItem('nixfleet.theme');
    } catch {
        /* storage may be forbidden; the system's colours do */
    }
    if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
})();
