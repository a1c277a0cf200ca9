"use strict";
// The page works inside a frame of Airflow's interface and on its own. Nothing is loaded from elsewhere.

const framed = window.parent !== window;

function followTheme() {
  let dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  if (framed) {
    const outer = window.parent.document.documentElement;
    dark = outer.classList.contains("dark") || outer.dataset.theme === "dark";
  }
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

followTheme();
if (framed) {
  const watch = { attributes: true, attributeFilter: ["class", "data-theme"] };
  new MutationObserver(followTheme).observe(window.parent.document.documentElement, watch);
} else {
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", followTheme);
}

// Airflow's frame may open no windows: the link is followed by the page around it, which is Airflow's own.
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
  // No body, and Origin is added by the browser.
  return fetch(`${order}/${connection.split("/").map(encodeURIComponent).join("/")}`, { method: "POST" });
}

async function problem(answer) {
  try {
    return (await answer.json()).detail || `Airflow answered ${answer.status}.`;
  } catch {
    return `Airflow answered ${answer.status}.`;
  }
}

async function replace(card, answer) {
  if (!answer.ok) throw new Error(await problem(answer));
  // Rendered and escaped by the server; scripts in it would not run under this page's policy.
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = document.importNode(parsed.querySelector("article"), true);
  card.replaceWith(fresh);
  return fresh;
}

function showCode(said, code) {
  const box = element("div", "code", "");
  const link = element("a", "verify", code.address);
  // The server has looked at it; this looks once more.
  if (/^https?:\/\//.test(code.link)) link.href = code.link;
  link.dataset.outside = "";
  box.append("Open", link, "and enter", element("span", "user-code", code.user_code), element("span", "left", `${code.left} s left`));
  said.replaceChildren(box, element("p", "hint", "Sign in there as the user that the DAGs act as. Closing this page cancels the sign-in."));
}

async function signIn(card, connection) {
  const said = card.querySelector(".said");
  said.replaceChildren(element("p", "hint", "Asking the identity domain for a code …"));
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
      if (name === "code") showCode(said, data);
      if (name === "waiting") said.querySelector(".left").textContent = `${data.left} s left`;
      if (name === "failed") throw new Error(data.text);
      if (name === "done") {
        const fresh = await replace(card, await post("state", connection));
        fresh.querySelector(".said").replaceChildren(element("p", "good", data.text));
        return;
      }
    }
  }
}

async function check(card, connection) {
  card.querySelector(".said").replaceChildren(element("p", "hint", "Checking …"));
  await replace(card, await post("check", connection));
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-outside]");
  if (link && link.href) {
    event.preventDefault();
    openOutside(link.href);
    return;
  }
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const card = button.closest("article");
  const buttons = [...card.querySelectorAll("button[data-do]")].filter((one) => !one.disabled);
  for (const one of buttons) one.disabled = true;
  try {
    await (button.dataset.do === "check" ? check : signIn)(card, card.dataset.connection);
  } catch (error) {
    card.querySelector(".said").replaceChildren(element("p", "problem", error.message));
  } finally {
    for (const one of buttons) one.disabled = false;
  }
});
