"use strict";
// Shows openapi.json: every operation with its parameters, body and answers, and every schema.

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  made.append(...children);
  return made;
}

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return String(schema.const);
  const several = schema.anyOf || schema.oneOf;
  if (several) return several.map(typeOf).join(" or ");
  if (schema.type === "array") return "list of " + typeOf(schema.items);
  const bounds = ["minimum", "maximum", "minLength", "maxLength"].filter((name) => schema[name] !== undefined);
  return [schema.format || schema.type || "any", ...bounds.map((name) => name + " " + schema[name])].join(", ");
}

function table(rows) {
  return element("table", null, ...rows.map((row) => element("tr", null, ...row.map((text) => element("td", text)))));
}

function operation(method, path, told) {
  const section = element("section", null, element("h3", method.toUpperCase() + " " + path), element("p", told.description || told.summary || ""));
  const rows = (told.parameters || []).map((p) => [p.name, p.in + (p.required ? ", required" : ""), typeOf(p.schema), p.description || ""]);
  const body = told.requestBody?.content?.["application/json"]?.schema;
  if (body) rows.push(["body", told.requestBody.required ? "required" : "optional", typeOf(body), ""]);
  for (const [status, answer] of Object.entries(told.responses || {})) {
    if (status.startsWith("2")) rows.push(["answer", status, typeOf(answer.content?.["application/json"]?.schema), answer.description === "Successful Response" ? "" : answer.description || ""]);
  }
  section.append(table(rows));
  return section;
}

async function show() {
  const main = document.getElementById("operations");
  const api = await (await fetch("/openapi.json")).json();
  main.replaceChildren(element("p", api.info.summary), element("h2", "Operations"));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, told] of Object.entries(methods)) main.append(operation(method, path, told));
  }
  main.append(element("h2", "Schemas"));
  for (const [name, schema] of Object.entries(api.components?.schemas || {})) {
    const required = new Set(schema.required || []);
    const rows = Object.entries(schema.properties || {}).map(([field, what]) => [field, required.has(field) ? "required" : "", typeOf(what), what.description || ""]);
    if (schema.enum) rows.push(["", "", schema.enum.join(" | "), ""]);
    main.append(element("section", null, element("h3", name), element("p", schema.description || ""), table(rows)));
  }
}

show().catch((error) => { document.getElementById("operations").textContent = String(error.message); });
