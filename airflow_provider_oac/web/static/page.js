"use strict";
// The pages work in a frame of Airflow's interface and alone. They load nothing from other servers.

const framed = window.parent !== window;
const root = document.documentElement;
const EVERY = 10_000;
const BORROWED = ["bg", "bg-muted", "fg", "fg-muted", "blue-fg", "success-fg", "failed-fg", "orange-fg"];

function followTheme() {
  let dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  if (framed) {
    const outer = window.parent.document.documentElement;
    dark = outer.classList.contains("dark") || outer.dataset.theme === "dark";
    const colors = window.parent.getComputedStyle(outer);
    for (const name of BORROWED) {
      root.style.setProperty(`--chakra-colors-${name}`, colors.getPropertyValue(`--chakra-colors-${name}`));
    }
  }
  root.dataset.theme = dark ? "dark" : "light";
}

followTheme();
if (framed) {
  const watch = { attributes: true, attributeFilter: ["class", "data-theme"] };
  new MutationObserver(followTheme).observe(window.parent.document.documentElement, watch);
} else {
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", followTheme);
}

// Shows times in the time zone and format of Airflow's interface.
function showTimes(page) {
  let zone;
  try {
    zone = JSON.parse(localStorage.getItem("timezone")) || undefined;
    new Intl.DateTimeFormat("sv-SE", { timeZone: zone });
  } catch {
    zone = undefined;
  }
  const format = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone: zone });
  for (const time of page.querySelectorAll("time")) {
    time.textContent = format.format(new Date(time.dateTime));
    time.title = format.resolvedOptions().timeZone;
  }
}

showTimes(document);
window.addEventListener("storage", (event) => event.key === "timezone" && showTimes(document));

// Airflow's frame may not open windows, so the page around it, which is Airflow's, follows the link.
function openOutside(address) {
  const outer = framed ? window.parent.document : document;
  const link = outer.createElement("a");
  link.href = address;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  outer.body.append(link);
  link.click();
  link.remove();
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function post(order, connection) {
  // The request has no body; the browser adds Origin.
  return fetch(`${order}/${connection.split("/").map(encodeURIComponent).join("/")}`, { method: "POST" });
}

async function problem(answer) {
  try {
    return (await answer.json()).detail || `Airflow answered ${answer.status}.`;
  } catch {
    return `Airflow answered ${answer.status}.`;
  }
}

// The server has rendered and escaped the page; this page's policy would block scripts in it.
async function parsed(answer) {
  if (!answer.ok) throw new Error(await problem(answer));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  showTimes(page);
  return page;
}

// Unchanged content stays in place: screen readers do not repeat it, and focus and selection are kept.
function renew(old, fresh) {
  if (old.innerHTML !== fresh.innerHTML) old.replaceChildren(...document.adoptNode(fresh).childNodes);
}

function renewCard(card, fresh) {
  card.className = fresh.className;
  for (const part of [".level", ".facts"]) renew(card.querySelector(part), fresh.querySelector(part));
}

// Shows texts in the live region, which screen readers announce, and details below it, which they do not announce.
function say(card, said, ...details) {
  card.querySelector(".said").replaceChildren(...said);
  card.querySelector(".details").replaceChildren(...details);
}

function showCode(card, code) {
  const box = element("div", "code", "");
  const link = element("a", "verify", code.address);
  // The server has checked the address; this is a second check.
  if (/^https?:\/\//.test(code.link)) link.href = code.link;
  link.dataset.outside = "";
  box.append("Open", link, "and enter", element("span", "user-code", code.user_code), element("span", "left", `${code.left} s left`));
  const hint = "Sign in there as the user that the DAGs act as. Closing this page cancels the sign-in.";
  say(card, [`Enter the code ${code.user_code} at ${code.address}. ${hint}`], box);
}

async function signIn(card, connection) {
  say(card, ["Asking the identity domain for a code …"]);
  const answer = await post("sign-in", connection);
  if (!answer.ok) throw new Error(await problem(answer));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("The connection to Airflow ended before the sign-in did. Press Sign in again.");
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const [, name, json] = /^event: (.*)\ndata: (.*)$/.exec(event);
      const data = JSON.parse(json);
      if (name === "code") showCode(card, data);
      if (name === "waiting") card.querySelector(".left").textContent = `${data.left} s left`;
      if (name === "failed") throw new Error(data.text);
      if (name === "done") {
        renewCard(card, (await parsed(await post("state", connection))).querySelector("article"));
        say(card, [element("p", "good", data.text)]);
        return;
      }
    }
  }
}

async function check(card, connection) {
  say(card, ["Checking …"]);
  const fresh = (await parsed(await post("check", connection))).querySelector("article");
  renewCard(card, fresh);
  say(card, fresh.querySelector(".said").childNodes);
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-outside]");
  if (link && link.href) {
    event.preventDefault();
    openOutside(link.href);
    return;
  }
  const button = event.target.closest("button[data-do]");
  const card = button?.closest("article");
  if (!button || card.ariaBusy === "true") return;
  // A disabled button loses the focus, so the buttons are only marked as disabled.
  const buttons = card.querySelectorAll("button[data-do]:enabled");
  card.ariaBusy = "true";
  for (const one of buttons) one.ariaDisabled = "true";
  try {
    await (button.dataset.do === "check" ? check : signIn)(card, card.dataset.connection);
  } catch (error) {
    say(card, [element("p", "problem", error.message)]);
  } finally {
    card.ariaBusy = "false";
    for (const one of buttons) one.ariaDisabled = "false";
  }
});

// New rows are inserted, changed cells replaced and old rows removed; the remaining rows are not moved.
function renewRows(body, fresh) {
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  let at = body.firstElementChild;
  for (const row of [...fresh.rows]) {
    const old = known.get(row.dataset.key);
    if (!old?.isConnected) {
      body.insertBefore(document.adoptNode(row), at);
      continue;
    }
    while (at !== old) at = dropped(at);
    [...row.cells].forEach((cell, number) => renew(old.cells[number], cell));
    at = old.nextElementSibling;
  }
  while (at) at = dropped(at);
}

function dropped(row) {
  const next = row.nextElementSibling;
  row.remove();
  return next;
}

async function refreshPage() {
  const fresh = await parsed(await fetch(location.href));
  for (const now of fresh.querySelectorAll("article")) {
    const card = [...document.querySelectorAll("article")].find((one) => one.dataset.connection === now.dataset.connection);
    if (card && card.ariaBusy !== "true") renewCard(card, now);
  }
  const [rows, now] = [document, fresh].map((page) => page.getElementById("rows"));
  const [body, bodyNow] = [rows, now].map((part) => part.querySelector("tbody"));
  if (body && bodyNow) renewRows(body, bodyNow);
  else renew(rows, now);
}

async function askForWork(shown) {
  const answer = (await parsed(await fetch(location.href, { method: "POST" }))).querySelector("div");
  const ended = "ended" in answer.dataset;
  renew(shown, answer);
  return ended;
}

async function refresh() {
  const shown = document.getElementById("answer");
  let ended = false;
  if (!document.hidden) {
    const stale = document.getElementById("stale");
    try {
      if (shown) ended = await askForWork(shown);
      else if (document.getElementById("rows")) await refreshPage();
      stale.textContent = "";
    } catch (error) {
      stale.textContent = `The states on this page may be old: ${error.message}`;
    }
  }
  if (!ended) setTimeout(refresh, EVERY);
}

if (document.getElementById("answer")) refresh();
else setTimeout(refresh, EVERY);
