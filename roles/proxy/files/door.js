"use strict";
// What is healthy, asked through the door by who looks at the page, with what he is allowed to ask.

const PERIOD_MS = 5000;
const PATIENCE_MS = 4000;

const ask = (url) => fetch(url, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });

function show(cell, well, text) {
  cell.className = well ? "well" : "ill";
  cell.textContent = text;
}

async function health(cell) {
  try {
    const answer = await ask(cell.dataset.health);
    show(cell, answer.ok, answer.ok ? "well" : `answers ${answer.status}`);
  } catch {
    show(cell, false, "does not answer");
  }
}

/** Value by job of a PromQL expression. */
async function byJob(expression) {
  const answer = await ask(`/prometheus/api/v1/query?query=${encodeURIComponent(expression)}`);
  const { data } = await answer.json();
  return new Map(data.result.map(({ metric, value }) => [metric.job, Number(value[1])]));
}

async function jobs(table) {
  const [all, up] = await Promise.all([byJob("count by (job) (up)"), byJob("sum by (job) (up)")]);
  while (table.rows.length > 1) table.deleteRow(1);
  for (const job of [...all.keys()].sort()) {
    const row = table.insertRow();
    row.insertCell().textContent = job;
    row.insertCell().textContent = all.get(job);
    const down = all.get(job) - up.get(job);
    show(row.insertCell(), down === 0, down === 0 ? "all up" : `${down} down`);
  }
  table.hidden = false;
}

async function look() {
  const asked = document.getElementById("asked");
  const table = document.getElementById("jobs");
  await Promise.all([...document.querySelectorAll("[data-health]")].map(health));
  try {
    await jobs(table);
    asked.textContent = `As of ${new Date().toLocaleTimeString()}.`;
  } catch {
    table.hidden = true;
    asked.textContent = "Prometheus does not say.";
  }
  setTimeout(look, PERIOD_MS);
}

ask("/who").then((answer) => answer.text()).then((who) => { document.getElementById("who").textContent = `(you are ${who})`; });
look();
