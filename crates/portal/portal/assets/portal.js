// Live updates and copy buttons. Every page works without it.
"use strict";

const link = document.getElementById("link");

// A browser keeps few connections to one server: only pages that are seen hold one.
function connect(url, handlers, opened = () => {}) {
  let source = null;
  const open = () => {
    source = new EventSource(url);
    source.onopen = () => { link.hidden = true; opened(); };
    source.onerror = () => { link.hidden = false; };
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
  };
  const close = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close(); else if (!source) open();
  });
  addEventListener("pagehide", close);
  if (!document.hidden) open();
}

// An element's content, but for what only the clock changes.
const lasting = (element) => element.innerHTML.replace(/(<time[^>]*>)[^<]*/g, "$1");

// Puts new content in, leaves what is the same alone, marks what has changed.
function swap(target, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const before = new Map();
  for (const old of target.querySelectorAll("[data-key]")) before.set(old.dataset.key, old);
  for (const fresh of template.content.querySelectorAll("[data-key]")) {
    const old = before.get(fresh.dataset.key);
    if (old && lasting(old) === lasting(fresh)) {
      old.classList.remove("changed");
      fresh.replaceWith(old);
    } else if (before.size) {
      fresh.classList.add("changed");
    }
  }
  const focused = document.activeElement && target.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  target.replaceChildren(template.content);
  if (focused) target.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  copyButtons(target);
  tick();
}

// Ages, as the server writes them.
function age(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

function tick() {
  for (const time of document.querySelectorAll("time")) {
    const then = Date.parse(time.dateTime);
    if (then) time.textContent = age(Math.floor((Date.now() - then) / 1000)) + ("ago" in time.dataset ? " ago" : "");
  }
}
setInterval(tick, 5000);

for (const live of document.querySelectorAll("[data-live]")) {
  let first = true;
  connect(live.dataset.live, {
    fragment: ({ id, html }) => {
      if ("reload" in live.dataset) {
        if (!first && html.includes("data-key")) location.reload();
        first = false;
        return;
      }
      const target = document.getElementById(id);
      if (target) swap(target, html);
    },
  });
}

for (const logs of document.querySelectorAll("[data-logs]")) {
  const most = 1000;
  connect(logs.dataset.logs, {
    message: ({ pod, line }) => {
      const end = logs.scrollHeight - logs.scrollTop - logs.clientHeight < 32;
      const row = document.createElement("div");
      const from = document.createElement("span");
      from.textContent = pod.slice(-5);
      from.title = pod;
      row.append(from, line);
      logs.append(row);
      while (logs.childElementCount > most) logs.firstElementChild.remove();
      if (end) logs.scrollTop = logs.scrollHeight;
    },
  }, () => logs.replaceChildren());
}

function copyButtons(root) {
  for (const code of root.querySelectorAll("[data-copy]")) {
    if (code.nextElementSibling?.classList.contains("copy")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy plain";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    code.after(button);
  }
}

if (navigator.clipboard) copyButtons(document);
