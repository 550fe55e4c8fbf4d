// Renews the figures of the status page from /status. The page is whole without it.
//
// Every figure names its path in /status (data-field) and how it is written (data-as); a list (data-list) has a
// template of its items. The writers below are those of proxy/page/words.py, and a test compares both.
"use strict";
(() => {
  const RENEW_MS = 5000;
  const PATIENCE_MS = 4000;
  const NEAR = 0.8;
  const NONE = "-";
  let told = null; // the last status
  let toldAt = 0;

  const isNumber = (value) => typeof value === "number";
  const number = (value) => (isNumber(value) ? value.toLocaleString("en-US", { maximumFractionDigits: 3 }) : NONE);
  const text = (value) => (value === null || value === undefined ? NONE : String(value));
  const duration = (value) => {
    if (!isNumber(value)) return NONE;
    const seconds = Math.max(0, Math.trunc(value));
    const units = [
      [Math.floor(seconds / 86400), "d"],
      [Math.floor(seconds / 3600) % 24, "h"],
      [Math.floor(seconds / 60) % 60, "min"],
      [seconds % 60, "s"],
    ];
    const found = units.findIndex(([count]) => count > 0);
    const first = found < 0 ? units.length - 1 : found;
    return units.slice(first, first + 2).map(([count, unit]) => `${count} ${unit}`).join(" ");
  };
  const moment = (value) => {
    const time = new Date(Math.trunc(value) * 1000);
    if (!isNumber(value) || Number.isNaN(time.getTime())) return NONE;
    return `${time.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  };
  const level = ({ used, budget }) => (used >= budget ? "used up" : used >= NEAR * budget ? "near the limit" : "low");
  const writers = {
    number,
    duration,
    left: (value, now) => duration(isNumber(value) ? value - now : null),
    ago: (value, now) => (isNumber(value) ? `${duration(now - value)} ago` : NONE),
    moment,
    text,
    window: (value) => text(value).replaceAll(":", " "),
    yes: (value) => (value === null || value === undefined ? NONE : value ? "yes" : "no"),
    level,
  };

  const valueAt = (item, path) =>
    path === "." ? item : path.split(".").reduce((value, name) => (value === null || value === undefined ? null : value[name]), item);
  const within = (root, selector, list) =>
    [...root.querySelectorAll(selector)].filter((element) => element.closest("[data-list]") === list);
  const say = (element, words) => {
    if (element.textContent !== words) element.textContent = words; // else a screen reader would speak again
  };

  function fill(root, item, now, list) {
    for (const element of within(root, "[data-field]", list)) {
      const value = valueAt(item, element.dataset.field);
      say(element, writers[element.dataset.as](value, now));
      if (element.tagName === "DATA") element.value = value === null || typeof value === "object" ? "" : String(value);
    }
    for (const element of within(root, "[data-if]", list)) {
      const value = valueAt(item, element.dataset.if);
      element.hidden = value === null || value === undefined;
    }
    for (const element of within(root, "[data-gauge]", list)) fillGauge(element, item);
  }

  function fillGauge(gauge, { used, budget, limit }) {
    const share = (part) => Math.min(100, (100 * part) / Math.max(1, limit)).toFixed(1);
    gauge.dataset.level = level({ used, budget }).replaceAll(" ", "-");
    gauge.querySelector(".used").setAttribute("width", share(used));
    gauge.querySelector(".mark").setAttribute("x", share(budget));
  }

  function fillList(list, items, now) {
    const template = list.querySelector(":scope > template");
    const shown = [...list.children].filter((child) => child !== template);
    for (const extra of shown.splice(items.length)) extra.remove();
    items.forEach((item, place) => {
      const row = shown[place] || template.content.firstElementChild.cloneNode(true);
      if (!row.parentElement) list.append(row);
      fill(row, item, now, list);
    });
  }

  function paint(status, now) {
    document.body.dataset.state = status.summary.state;
    document.title = `${status.summary.title} - binance-sidecar`;
    fill(document.body, status, now, null);
    for (const list of document.querySelectorAll("[data-list]")) fillList(list, valueAt(status, list.dataset.list) || [], now);
    for (const element of document.querySelectorAll("[data-empty]")) {
      element.hidden = (valueAt(status, element.dataset.empty) || []).length > 0;
    }
  }

  function tick() {
    if (told && !document.hidden) paint(told, told.now + (performance.now() - toldAt) / 1000);
  }

  async function renew() {
    if (document.hidden) return;
    const renewal = document.getElementById("renewal");
    try {
      const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
      if (!answer.ok) throw new Error(String(answer.status));
      told = await answer.json();
      toldAt = performance.now();
      paint(told, told.now);
      delete document.body.dataset.old;
      say(renewal, `Renews itself every ${RENEW_MS / 1000} seconds.`);
    } catch {
      document.body.dataset.old = "";
      say(renewal, "Not renewed: the gateway does not answer. These are its last figures.");
    }
    document.body.dataset.renewals = Number(document.body.dataset.renewals || 0) + 1;
  }

  document.addEventListener("visibilitychange", renew);
  setInterval(renew, RENEW_MS);
  setInterval(tick, 1000);
  renew();
})();
