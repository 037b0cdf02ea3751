/* Sets the colours before the first paint, so that a dark page never flashes white: the person's choice, else the system's
   colours; light on paper. A classic script on purpose: modules run after parsing. colours.js has the button. */
(function () {
    const dark = matchMedia('(prefers-color-scheme: dark)');

    function chosen() {
        try {
            return localStorage.getItem('nixfleet.theme');
        } catch {
            return null; // storage may be forbidden; the system's colours do
        }
    }

    function apply() {
        const choice = chosen();
        const known = choice === 'dark' || choice === 'light';
        document.documentElement.dataset.theme = known ? choice : dark.matches ? 'dark' : 'light';
    }

    apply();
    dark.addEventListener('change', apply);
    window.addEventListener('nixfleet-theme', apply);
    window.addEventListener('beforeprint', () => (document.documentElement.dataset.theme = 'light'));
    window.addEventListener('afterprint', apply);
})();
