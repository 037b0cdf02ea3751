/* Shows why the last try to sign in was refused. The reason comes from the address, so it is text and nothing else. */
const reason = new URLSearchParams(location.search).get('error');
if (reason) {
    const line = document.getElementById('error');
    line.textContent = reason.slice(0, 200);
    line.hidden = false;
}
