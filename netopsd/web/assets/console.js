"use strict";
// Everything a device or a person said is set as text, never as markup.
const LONGEST = 500; // characters of one text
const ODD = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;
const OPEN = ["acknowledged", "inProgress", "pending", "held"];
let token = "";
let noted = ""; // the ticket whose notes are shown

async function get(path) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const answer = await fetch(path, { headers });
  if (answer.status === 401) document.getElementById("access").hidden = false;
  if (!answer.ok) throw new Error(path + ": " + answer.status);
  const body = await answer.json();
  return { body, total: Number(answer.headers.get("X-Total-Count") ?? body.length) };
}

// What cannot be seen, or turns the text around it, is written out, as in /metrics.
function shown(text) {
  const letters = [...text.slice(0, 2 * LONGEST)];
  const cut = letters.length > LONGEST ? letters.slice(0, LONGEST).join("") + "…" : text;
  return cut.replace(ODD, (odd) => {
    const code = odd.charCodeAt(0).toString(16);
    return code.length > 2 ? "\\u" + code.padStart(4, "0") : "\\x" + code.padStart(2, "0");
  });
}

function time(text) {
  return { text: text ? text.slice(0, 19).replace("T", " ") : "", tight: true };
}

function word(text) {
  return { text, tight: true, word: text };
}

// A cell is a text, or {text, tight: not to be broken, word: of ours, for its colour, act}.
function fill(id, items, cells) {
  const body = document.getElementById(id);
  const rows = items.map((item) => {
    const row = document.createElement("tr");
    for (const told of cells(item)) {
      const { text, tight, word, act } = typeof told === "object" && told !== null ? told : { text: told };
      const cell = document.createElement("td");
      const inside = act ? document.createElement("button") : cell;
      inside.textContent = shown(String(text ?? ""));
      if (act) {
        inside.addEventListener("click", act);
        cell.append(inside);
      }
      if (tight) cell.className = "tight";
      if (word) cell.dataset.word = word;
      row.append(cell);
    }
    return row;
  });
  if (!rows.length) {
    const row = document.createElement("tr");
    const cell = document.createElement("td");
    cell.colSpan = body.parentElement.tHead.rows[0].cells.length;
    cell.className = "none";
    cell.textContent = "none";
    row.append(cell);
    rows.push(row);
  }
  body.replaceChildren(...rows);
}

function state(alarm) {
  const words = [];
  if (!alarm.isRootCause) words.push("symptom of " + alarm.parentAlarm.map((one) => one.id).join(", "));
  if (alarm.ackUserId) words.push("acknowledged by " + alarm.ackUserId);
  if (alarm.shelvedUntil) words.push("shelved by " + alarm.shelvedBy);
  if (alarm.flapping) words.push("flapping");
  if (alarm.maintenance) words.push("maintenance");
  return words.join("; ");
}

function many(number, what, of) {
  return (of > number ? "the first " + number + " of " + of : number) + " " + what + (of === 1 ? "" : "s");
}

async function notes(id) {
  noted = id;
  document.getElementById("ticket").hidden = !id;
  if (!id) return;
  document.getElementById("noted").textContent = shown(id);
  const ticket = (await get("/api/v1/tickets/" + encodeURIComponent(id))).body;
  fill("notes", ticket.note, (n) => [time(n.date), n.author, word(n.status), n.text]);
}

async function show() {
  const line = document.getElementById("state");
  try {
    const [alarms, tickets, devices] = await Promise.all([
      get("/api/v1/alarms?limit=200"),
      get("/api/v1/tickets?limit=200&" + OPEN.map((status) => "status=" + status).join("&")),
      get("/api/v1/devices?limit=1000"),
    ]);
    document.getElementById("access").hidden = true;
    fill("alarms", alarms.body, (a) => [word(a.perceivedSeverity), a.alarmedObject.id, a.specificProblem, time(a.alarmRaisedTime), a.alarmDetails, a.why, state(a)]);
    fill("tickets", tickets.body, (t) => [{ text: t.id, tight: true, act: () => act(() => notes(noted === t.id ? "" : t.id)) }, { text: t.priority, tight: true }, word(t.status), time(t.creationDate), t.name, t.statusChangeReason]);
    fill("devices", devices.body, (d) => [d.name, d.site, word(d.reach), time(d.since)]);
    await notes(noted);
    line.textContent = [
      many(alarms.body.length, "alarm", alarms.total),
      many(tickets.body.length, "open ticket", tickets.total),
      many(devices.body.length, "device", devices.total),
    ].join(", ");
  } catch (error) {
    line.textContent = shown(String(error.message));
  }
}

async function act(what) {
  try {
    await what();
  } catch (error) {
    document.getElementById("state").textContent = shown(String(error.message));
  }
}

document.getElementById("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = document.getElementById("token").value;
  show();
});
show();
setInterval(show, 5000);
