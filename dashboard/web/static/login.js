/* The sign-in page: shows why the last try was refused, and keeps the part of the address that names what to open. The reason
   comes from the address, so it is only used as text. */
const reason = new URLSearchParams(location.search).get('error');
if (reason) {
    const line = document.getElementById('error');
    line.textContent = reason.slice(0, 200);
    line.hidden = false;
}
/* A redirect keeps the fragment of the requested address, so the form leads to the target of the link. */
document.forms[0].setAttribute('action', `/login${location.hash}`);

/* The field for a code is shown if the server asks for a code, and also if that is not known. */
fetch('/api/sign-in')
    .then((answer) => answer.json())
    .catch(() => ({ code: true }))
    .then(({ code }) => (document.getElementById('code').hidden = !code));
