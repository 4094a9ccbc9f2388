"use strict";

// The access token and when it expires live in these variables and nowhere else: not in localStorage or sessionStorage,
// where every script of the origin finds them. A reload loses them, and the cookie brings new ones.
let accessToken = "";
let expiresAt = 0;
let refreshing = null; // the refresh under way, which all calls wait for

// obtain asks for tokens, and reports whether it got any. The refresh token goes to and fro in the cookie.
async function obtain(path, body) {
  const asked = Date.now();
  const response = await fetch(path, { method: "POST", body });
  if (response.ok) {
    const tokens = await response.json();
    accessToken = tokens.access_token;
    expiresAt = asked + 1000 * tokens.expires_in;
  } else if (response.status < 500) {
    accessToken = ""; // the session is over; 503 only means that Keycloak is away
  }
  return response.ok;
}

function refresh() {
  refreshing ??= obtain("/auth/refresh").finally(() => { refreshing = null; });
  return refreshing;
}

// call makes a request to the API, with a new token first where the old one has expired.
async function call(path) {
  if (Date.now() >= expiresAt) await refresh();
  const send = () => fetch(path, { headers: { Authorization: "Bearer " + accessToken } });
  const response = accessToken ? await send() : new Response(null, { status: 401 });
  if (response.status === 401 && accessToken && await refresh()) return send(); // this clock is behind
  return response;
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const redirectURI = location.origin + location.pathname;

// login goes to Keycloak for a code (RFC 6749 §4.1) with PKCE (RFC 7636). The code comes back in the fragment, which no
// server sees. What the page has to know when it comes back outlives it in sessionStorage: it is of use only once.
async function login() {
  const state = random();
  const verifier = random();
  sessionStorage.setItem("login", JSON.stringify({ state, verifier }));
  const challenge = base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
  location.assign("/auth/login?" + new URLSearchParams({
    response_mode: "fragment", redirect_uri: redirectURI, state, code_challenge: challenge, code_challenge_method: "S256",
  }));
}

// finishLogin exchanges the code that Keycloak sent the page back with, if it did.
async function finishLogin() {
  const answer = new URLSearchParams(location.hash.slice(1));
  const asked = JSON.parse(sessionStorage.getItem("login"));
  sessionStorage.removeItem("login");
  history.replaceState(null, "", redirectURI); // a code in the address would end up in the history
  if (!answer.has("code") || answer.get("state") !== asked?.state) return false; // nobody here asked for this login
  return obtain("/auth/login", new URLSearchParams({
    code: answer.get("code"), code_verifier: asked.verifier, redirect_uri: redirectURI,
  }));
}

// logout ends the session at Keycloak. If Keycloak is away, the session goes on, and so does the page.
async function logout() {
  const response = await fetch("/auth/logout", { method: "POST" });
  if (!response.ok) return;
  accessToken = "";
  expiresAt = 0;
}

// show says who is logged in, in words that the API gave: text, never HTML.
async function show() {
  const response = await call("/me");
  const user = response.ok ? await response.json() : null;
  document.getElementById("status").textContent = user ? "You are " + user.name + "."
    : response.status === 401 ? "You are not logged in."
    : "Something is wrong: " + response.status;
  document.getElementById("login").hidden = user !== null;
  document.getElementById("logout").hidden = user === null;
  document.querySelector("main").hidden = false;
}

document.getElementById("login").addEventListener("click", login);
document.getElementById("me").addEventListener("click", show);
document.getElementById("logout").addEventListener("click", () => logout().then(show));
finishLogin().then(show);
