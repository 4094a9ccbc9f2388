// Keycloak sends the window of a login here. The code goes to the page that opened the window, if the state is the one
// that this page sent, and nowhere else.
"use strict";

(function () {
  const answer = new URLSearchParams(location.hash.slice(1) || location.search.slice(1));
  history.replaceState(null, "", location.pathname); // no code stays in an address

  const login = pending();
  if (!login) {
    return show("No login was begun on this site, or its page has been closed. You can close this window.");
  }
  delete window.opener.swaggerUIRedirectOauth2; // each login ends once

  if (!login.state || answer.get("state") !== login.state) {
    return fail("The answer does not belong to this login (its state is another one). Please try again.");
  }
  if (!answer.get("code")) {
    const reason = [answer.get("error"), answer.get("error_description")].filter(Boolean).join(": ");
    return fail(reason || "Keycloak sent no code.");
  }
  login.auth.code = answer.get("code");
  login.callback({ auth: login.auth, redirectUrl: login.redirectUrl });
  window.close();

  // pending is what Swagger UI left for us. A page of another origin that opened this window cannot be read.
  function pending() {
    try {
      return window.opener && window.opener.swaggerUIRedirectOauth2;
    } catch {
      return null;
    }
  }

  function fail(message) {
    login.errCb({ authId: login.auth.name, source: "auth", level: "error", message });
    show("The login failed. " + message + " You can close this window.");
    window.close();
  }

  function show(message) {
    const notice = document.getElementById("notice");
    notice.textContent = message;
    notice.hidden = false;
  }
})();
