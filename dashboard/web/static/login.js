/* The sign-in page: shows why the last try was refused, and keeps the part of the address that names what to open. The
   reason comes from the address, so it is text and nothing else. */
const reason = new URLSearchParams(location.search).get('error');
if (reason) {
    const line = document.getElementById('error');
    line.textContent = reason.slice(0, 200);
    line.hidden = false;
}
/* A redirect keeps the fragment of the address that was asked for: so the form leads to where the link wanted to go. */
document.forms[0].setAttribute('action', `/login${location.hash}`);

/* The field for a code is there where one is asked for, and where nobody can say so. */
fetch('/api/sign-in')
    .then((answer) => answer.json())
    .catch(() => ({ code: true }))
    .then(({ code }) => (document.getElementById('code').hidden = !code));
