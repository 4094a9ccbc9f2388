// Loads the document, waiting for Keycloak where it is away, and shows it with Swagger UI.
"use strict";

(function () {
  const docURL = new URL("doc.json", location.href).href;
  const notice = document.getElementById("notice");

  load(1);

  // load fetches the document and shows it, or says what is wrong and tries again: after 1 s, 2 s, then every 3 s.
  async function load(attempt) {
    const problem = await tryToLoad();
    if (!problem) {
      notice.hidden = true;
      return;
    }
    notice.textContent = problem + " Trying again…";
    notice.hidden = false;
    setTimeout(load, Math.min(attempt, 3) * 1000, attempt + 1);
  }

  async function tryToLoad() {
    let response;
    try {
      response = await fetch(docURL, { cache: "no-store" });
    } catch {
      return "This API does not answer.";
    }
    if (response.status === 503) {
      return "Keycloak, which logs users in to this API, cannot be reached at the moment.";
    }
    if (!response.ok) {
      return "The description of this API cannot be loaded: status " + response.status + ".";
    }
    show(await response.json());
    return "";
  }

  function show(doc) {
    document.title = (doc.info && doc.info.title) || document.title;
    const ui = SwaggerUIBundle({
      spec: doc,
      dom_id: "#swagger-ui",
      presets: [SwaggerUIBundle.presets.apis],
      plugins: [login(doc["x-keycloak"])],
      layout: "BaseLayout",
      deepLinking: true,
      validatorUrl: null, // nothing is sent to validator.swagger.io
      queryConfigEnabled: false, // nobody else's document is shown here by a link
      persistAuthorization: false, // tokens are in memory only
      oauth2RedirectUrl: new URL("oauth2-redirect.html", location.href).href,
      requestInterceptor: bearer,
    });
    ui.specActions.updateUrl(docURL); // relative addresses in the document are relative to it
    ui.initOAuth({
      clientId: doc["x-keycloak"].clientId,
      scopes: doc["x-keycloak"].scopes,
      usePkceWithAuthorizationCodeGrant: true,
    });
  }

  // bearer lets a token do that was pasted without its scheme. In Swagger 2.0 it is sent as it was pasted.
  function bearer(request) {
    const headers = request.headers || {};
    if (headers.Authorization && !/\s/.test(headers.Authorization.trim())) {
      headers.Authorization = "Bearer " + headers.Authorization.trim();
    }
    return request;
  }

  // login makes Swagger UI's login safer, and its logout real.
  function login(keycloak) {
    // Swagger UI's own state is the time. And a code in a fragment is sent to no server, and so is in no log of one.
    const authPopup = (original) => (address, session) => {
      const url = new URL(address);
      session.state = random();
      url.searchParams.set("state", session.state);
      url.searchParams.set("response_mode", "fragment");
      return original(url.href, session);
    };

    // Whoever logs out here does not want to be logged in again without a password.
    const logout = (original, system) => (names) => {
      const authorized = system.authSelectors.authorized();
      for (const name of names) {
        const token = authorized && authorized.getIn([name, "token", "refresh_token"]);
        if (token && keycloak.endSessionUrl) {
          const body = new URLSearchParams({ client_id: keycloak.clientId, refresh_token: token });
          fetch(keycloak.endSessionUrl, { method: "POST", body }).catch(() => {}); // the token is forgotten all the same
        }
      }
      return original(names);
    };

    // The field for a pasted token takes the focus, and the login above it would be scrolled out of sight.
    const showDefinitions = (original) => (definitions) => {
      setTimeout(() => document.querySelector(".modal-ux-content")?.scrollTo(0, 0));
      return original(definitions);
    };

    return { statePlugins: { auth: { wrapActions: { authPopup, logout, showDefinitions } } } };
  }

  function random() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  }
})();
