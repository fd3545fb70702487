// chat.js: the page: what is asked, what is shown. Text of people and models is put in as text,
// never as HTML.
import { ask as askFacts, show as showFacts } from "./facts.js";
import { Latency, Record, ms, percentile } from "./latency.js";
import { ServerError, Stream } from "./stream.js";

const $ = (id) => document.getElementById(id);
const latency = new Latency($("strip"), $("readout"), { answer: $("figures-answer"), all: $("figures-all") });
const stream = new Stream((wasOpen) => sleep(wasOpen ? 300 : 3000).then(greet));
let turns = []; // {question, answer, isKept, ...}: what was said
let running = null; // of them, the one that is being answered

// ---- small parts ----

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function button(text, onclick) {
  const element = make("button", "", text);
  element.type = "button";
  element.addEventListener("click", onclick);
  return element;
}

function setState(kind, text) {
  const state = $("state");
  if (state.textContent !== text) state.textContent = text; // or it would be read out again
  state.dataset.state = kind;
}

function say(text) {
  $("said").textContent = text;
}

// The log stays at its end, unless it was scrolled away from it.
function keepAtEnd(change) {
  const log = $("log");
  const wasAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  change();
  if (wasAtEnd) log.scrollTop = log.scrollHeight;
}

// ---- the server ----

function storedKey() {
  try {
    return sessionStorage.getItem("key") ?? "";
  } catch {
    return "";
  }
}

function storeKey(key) {
  stream.key = key;
  $("forget").hidden = !key;
  try {
    if (key) sessionStorage.setItem("key", key);
    else sessionStorage.removeItem("key");
  } catch {
    // then it is asked for again
  }
}

let currentKey = storedKey();
let greeting = 0;

const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));

// Asks who is there until somebody answers.
async function greet() {
  const own = ++greeting; // a later one takes over
  for (let wait = 250; own === greeting; wait = Math.min(2 * wait, 4000)) {
    try {
      const facts = await askFacts(currentKey);
      if (own === greeting) welcome(facts);
      return;
    } catch (error) {
      if (own !== greeting) return;
      if (error.status === 401) {
        wantKey();
        return;
      }
      if (!(error instanceof ServerError)) throw error;
      setState("bad", error.status === 503 ? `${error.message} …` : "server not reached, trying again");
    }
    await sleep(wait);
  }
}

function tell(facts) {
  $("model").textContent = facts.model.id;
  document.title = `${facts.model.id} · EdgeLLM`;
  showFacts(facts, { total: $("memory-total"), bar: $("memory-bar"), list: $("memory"), facts: $("facts") });
}

// Another model may have taken the place of the one that there was.
function tellAgain() {
  askFacts(currentKey).then(tell, () => {});
}

function welcome(facts) {
  tell(facts);
  $("key-form").hidden = true;
  if (!stream.isBusy) setState("good", "ready");
  stream.connect();
}

function wantKey() {
  const wasHidden = $("key-form").hidden;
  setState("bad", "API key needed");
  if (currentKey) $("key-note").textContent = "The server does not know that key.";
  $("key").setAttribute("aria-invalid", String(currentKey !== ""));
  $("key-form").hidden = false;
  if (wasHidden || currentKey) $("key").focus();
  currentKey = "";
  storeKey("");
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    $("key-note").textContent = "A key has letters, digits and signs of ASCII only.";
    return;
  }
  currentKey = key;
  storeKey(key);
  $("key").value = "";
  setState("busy", "connecting");
  greet().then(() => $("key-form").hidden && $("prompt").focus());
});

$("forget").addEventListener("click", () => {
  currentKey = "";
  storeKey("");
  $("key-note").textContent = "It is kept in this tab only, until the tab is closed.";
  greet();
});

// ---- asking ----

function number(id) {
  return $(id).value === "" ? undefined : Number($(id).value);
}

// What was given; undefined is left out of JSON.
function parameters() {
  return { max_tokens: number("max-tokens"), deadline_ms: number("deadline"), temperature: number("temperature"),
    top_p: number("top-p"), seed: number("seed") };
}

// The conversation up to a question. What failed is left out; and JSON's NUL, which no server takes.
function messages(turn) {
  const list = [];
  const system = $("system").value.trim();
  if (system) list.push({ role: "system", content: system });
  for (const { question, answer, isKept } of turns) {
    if (!isKept || !answer) continue;
    list.push({ role: "user", content: question });
    list.push({ role: "assistant", content: answer.replaceAll("\0", "") });
  }
  list.push({ role: "user", content: turn.question });
  return list;
}

function ask(question) {
  if (stream.isBusy || question.trim() === "") return false;
  if (!$("settings").checkValidity()) {
    openSide(true);
    $("settings").reportValidity();
    return false;
  }
  const turn = { question, answer: "", pending: "", record: new Record() };
  const fields = parameters();
  turn.record.deadline = fields.deadline_ms ?? 0;
  fields.messages = messages(turn);
  turns.push(turn);
  running = turn;
  showTurn(turn);
  $("bound").textContent = turn.record.deadline ? `deadline ${turn.record.deadline} ms` : "";
  latency.begin(turn.record);
  setBusy(true);
  setState("busy", "waiting");
  stream.ask(fields, listener(turn));
  return true;
}

function showTurn(turn) {
  const asked = make("article", "asked"), answered = make("article", "answered");
  asked.append(make("h3", "", "You"), make("p", "text", turn.question));
  answered.append(make("h3", "", "Answer"));
  turn.node = document.createTextNode("");
  const text = make("p", "text");
  text.append(turn.node);
  answered.append(text);
  turn.element = answered;
  $("empty").hidden = true;
  $("log").append(asked, answered);
  $("log").scrollTop = $("log").scrollHeight;
}

function setBusy(isBusy) {
  const hadFocus = [$("send"), $("stop")].includes(document.activeElement);
  $("send").hidden = isBusy;
  $("stop").hidden = !isBusy;
  $("log").setAttribute("aria-busy", String(isBusy));
  if (hadFocus) $("prompt").focus();
}

// ---- an answer ----

function listener(turn) {
  return {
    accepted: () => setState("busy", "computing"),
    token: (token) => {
      if (turn.record.at.length === 0) setState("busy", "answering");
      turn.record.add(token);
      turn.pending += token.text;
      if (!turn.frame) turn.frame = requestAnimationFrame(() => flush(turn));
    },
    done: (message) => done(turn, message),
    error: (error) => failed(turn, error),
    lost: (seconds) => {
      setState("bad", "connection lost, trying again");
      if (seconds >= 1) checkKey();
    },
    back: () => setState("busy", "connected again"),
  };
}

// Does the server answer, but not to us?
function checkKey() {
  askFacts(currentKey).catch((error) => error.status === 401 && stream.fail(error));
}

// Tokens that came since the last frame.
function flush(turn) {
  turn.frame = 0;
  turn.answer += turn.pending;
  keepAtEnd(() => turn.node.appendData(turn.pending));
  turn.pending = "";
  if (turn === running) latency.update();
}

function end(turn) {
  cancelAnimationFrame(turn.frame);
  turn.record.isOver = true;
  flush(turn);
  running = null;
  setBusy(false);
}

const finishes = { stop: "ended", length: "at its limit", cancelled: "stopped" };

function done(turn, message) {
  const { record } = turn, bound = message.deadline;
  turn.pending += message.text ?? ""; // what was held back to the end
  turn.isKept = true;
  if (bound) record.forecast = bound.forecast_ms;
  end(turn);
  const sorted = Float64Array.from(record.gaps()).sort();
  const words = [finishes[message.finish_reason] ?? message.finish_reason];
  if (message.usage) words.push(`${message.usage.prompt_tokens} + ${message.usage.completion_tokens} tokens`);
  if (record.at.length > 0) words.push(`first ${ms(record.at[0])} ms`);
  if (sorted.length >= 20) words.push(`P50 ${ms(percentile(sorted, 0.5))} ms`);
  if (sorted.length > 0) words.push(`max ${ms(sorted.at(-1))} ms`, `${record.rate.toFixed(1)} tok/s`);
  if (bound) words.push(boundWords(record, bound));
  const meta = button(words.join(" · "), () => show(turn));
  meta.className = "meta";
  meta.title = "Show its tokens above";
  turn.bound = bound ? boundWords(record, bound) : "";
  setState("good", "ready");
  if (!turns.includes(turn)) return; // a new chat was begun
  keepAtEnd(() => turn.element.append(meta));
  $("bound").textContent = turn.bound;
  say(`${finishes[message.finish_reason] ?? ""}: ${turn.answer}`);
  tellAgain();
}

function boundWords(record, bound) {
  const kept = record.last <= bound.deadline_ms ? "kept" : "missed";
  return `deadline ${bound.deadline_ms} ms ${kept}: forecast ${ms(bound.forecast_ms)} ms, took ${ms(record.last)} ms` +
    (bound.ended_by_deadline ? ", shortened by it" : "");
}

function show(turn) {
  latency.show(turn.record);
  $("bound").textContent = turn.bound;
}

// ---- what goes wrong ----

function failed(turn, error) {
  end(turn);
  const problem = make("div", "problem");
  problem.setAttribute("role", "alert");
  if (error.forecast) refused(turn, error, problem);
  else explain(turn, error, problem);
  keepAtEnd(() => turn.element.append(problem));
  setState(error.status === 0 ? "bad" : "good", error.status === 0 ? "server not reached" : "ready");
  if (error.status === 0 || error.status === 401) greet();
}

function refused(turn, error, problem) {
  const { first_ms, enough_ms, answer_ms, tokens } = error.forecast;
  const list = make("dl");
  const row = (name, value) => list.append(make("dt", "", name), make("dd", "", value));
  problem.append(make("p", "", `Refused beforehand: this answer does not fit into ${turn.record.deadline} ms.`), list);
  row("asked for", `${turn.record.deadline} ms`);
  row("would be accepted", `${ms(enough_ms)} ms`);
  row("forecast of the answer", `${ms(answer_ms)} ms`);
  row("forecast of its first token", `${ms(first_ms)} ms`);
  row("tokens that fit now", String(tokens));
  const buttons = make("div", "row");
  const enough = Math.ceil(enough_ms);
  buttons.append(button(`Ask with ${enough} ms`, () => again(turn, "deadline", enough)));
  if (tokens > 0) buttons.append(button(`Ask for ${tokens} token${tokens === 1 ? "" : "s"}`,
    () => again(turn, "max-tokens", tokens)));
  problem.append(buttons);
  $("bound").textContent = `deadline ${turn.record.deadline} ms refused: ${ms(enough_ms)} ms would be accepted`;
}

const advice = {
  0: "Is the server still running? What came so far stays here.",
  401: "Give a key that the server knows.",
  429: "All sessions are taken: ask again in a moment.",
  503: "The server is loading its model or shutting down.",
};

function explain(turn, error, problem) {
  problem.append(make("p", "", error.message));
  const hint = error.code === "context_length_exceeded"
    ? "The conversation is longer than the context: begin a new chat." : advice[error.status];
  if (hint) problem.append(make("p", "note", hint));
  problem.append(button("Ask again", () => again(turn)));
}

function again(turn, setting, value) {
  if (setting) $(setting).value = value;
  if (ask(turn.question)) $("prompt").focus();
}

// ---- the controls ----

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (ask($("prompt").value)) $("prompt").value = "";
});

$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("ask").requestSubmit();
});

$("settings").addEventListener("submit", (event) => event.preventDefault());
$("stop").addEventListener("click", () => stream.cancel());

addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing) return;
  if (stream.isBusy) stream.cancel();
  else openSide(false);
});

$("new").addEventListener("click", () => {
  stream.cancel();
  running = null;
  turns = [];
  $("log").replaceChildren($("empty"));
  $("empty").hidden = false;
  $("bound").textContent = "";
  latency.forget();
  $("prompt").focus();
});

function openSide(isOpen) {
  document.body.classList.toggle("side-open", isOpen);
  $("open-side").setAttribute("aria-expanded", String(isOpen));
}

$("open-side").addEventListener("click", () => openSide(!document.body.classList.contains("side-open")));

storeKey(currentKey);
greet().then(() => $("key-form").hidden && $("prompt").focus());
