"use strict";
// Everything a device said is set as text, never as markup.
let token = "";

async function get(path) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const answer = await fetch(path, { headers });
  if (answer.status === 401) document.getElementById("access").hidden = false;
  if (!answer.ok) throw new Error(path + ": " + answer.status);
  return answer.json();
}

function fill(id, items, cells) {
  const body = document.getElementById(id);
  body.replaceChildren(...items.map((item) => {
    const row = document.createElement("tr");
    for (const text of cells(item)) {
      const cell = document.createElement("td");
      cell.textContent = text ?? "";
      row.append(cell);
    }
    return row;
  }));
}

async function show() {
  const state = document.getElementById("state");
  try {
    const [alarms, tickets, devices] = await Promise.all([
      get("/api/v1/alarms?limit=200"),
      get("/api/v1/tickets?status=acknowledged&status=inProgress&status=pending&status=held"),
      get("/api/v1/devices?limit=1000"),
    ]);
    document.getElementById("access").hidden = true;
    fill("alarms", alarms, (a) => [a.perceivedSeverity, a.alarmedObject.id, a.specificProblem, a.alarmRaisedTime, a.alarmDetails, a.why]);
    fill("tickets", tickets, (t) => [t.id, t.priority, t.status, t.creationDate, t.name]);
    fill("devices", devices, (d) => [d.name, d.site, d.reach, d.since]);
    state.textContent = alarms.length + " alarms, " + tickets.length + " open tickets, " + devices.length + " devices";
  } catch (error) {
    state.textContent = String(error.message);
  }
}

document.getElementById("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = document.getElementById("token").value;
  show();
});
show();
setInterval(show, 5000);
