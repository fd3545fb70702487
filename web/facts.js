// facts.js: what the server tells of itself and of its model.
import { ServerError } from "./stream.js";

async function get(path, key, body) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, cache: "no-store",
      body: body && JSON.stringify(body) });
  } catch {
    throw new ServerError(0, { message: "The server cannot be reached." });
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const error = answer?.error;
  throw new ServerError(response.status, typeof error === "string" ? { message: error } : error);
}

export async function ask(key) {
  const model = (await get("v1/models", key)).data[0];
  return { model, shown: await get("api/show", key, { model: model.id }) };
}

const named = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

function megabytes(bytes) {
  return `${named.format(bytes / 1e6)} MB`;
}

function list(element, rows) {
  element.replaceChildren();
  for (const [name, value] of rows) {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    element.append(term, text);
  }
}

const parts = [["weights", "weights"], ["kv_cache", "keys and values"], ["scratch", "scratch"],
  ["tables", "vocabulary, tables"], ["threads", "threads"], ["program", "program"], ["server", "connections, queue"]];

function showMemory(memory, at) {
  at.total.textContent = megabytes(memory.total);
  list(at.list, parts.map(([name, words]) => [words, megabytes(memory[name])]));
  at.bar.replaceChildren(...parts.map(([name]) => {
    const part = document.createElement("i");
    part.style.flexGrow = memory[name];
    return part;
  }));
}

export function show({ model, shown }, at) {
  const meta = model.meta, info = shown.model_info, details = shown.details;
  const number = (name) => named.format(info[`${meta.architecture}.${name}`]);
  showMemory(meta.memory, at);
  list(at.facts, [
    ["architecture", meta.architecture],
    ["weights", `${details.parameter_size}, mostly ${details.quantization_level}`],
    ["file", megabytes(meta.size)],
    ["layers × width", `${number("block_count")} × ${number("embedding_length")}`],
    ["heads (keys)", `${number("attention.head_count")} (${number("attention.head_count_kv")})`],
    ["vocabulary", named.format(meta.n_vocab)],
    ["context", `${named.format(meta.n_ctx)} of ${named.format(meta.n_ctx_train)}`],
    ["sessions", String(meta.n_sessions)],
    ["kernel", `${meta.kernel}, ${meta.n_threads} thread${meta.n_threads === 1 ? "" : "s"}`],
  ]);
}
