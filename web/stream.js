// stream.js: answers over the WebSocket /v1/stream, and that nothing of them is lost or doubled when
// the connection is. One answer at a time. docs/SERVER.md has the protocol.

const retry = [250, 500, 1000, 2000, 4000]; // ms before the next try; the last one for all others
const tries = 40;
const quiet = 8000; // ms of silence in an answer after which the server is asked whether it is there

export class ServerError extends Error {
  constructor(status, error) {
    super(error?.message ?? "The server gave no reason.");
    this.status = status;
    this.code = error?.code;
    this.forecast = error?.forecast;
  }
}

function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function open(key) {
  const address = new URL("v1/stream", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.hash = address.search = "";
  return new WebSocket(address, key ? ["edgellm.v1", `edgellm.key.${base64url(key)}`] : ["edgellm.v1"]);
}

// What is to happen is told by `on`: accepted(message), token(message), done(message),
// error(ServerError), lost(seconds until the next try), back(). After done or error nothing more comes.
export class Stream {
  #socket = null;
  #key = "";
  #answer = null; // the one that runs: {request, on, resume, next, lost, timer}
  #names = 0;
  #heard = 0;
  #wasOpen = false;

  constructor(onidle) {
    this.onidle = onidle; // (wasOpen): a connection ended, or never began, while nothing was asked
    setInterval(() => this.#watch(), quiet / 2);
  }

  // For the next connection; one that is needed stays.
  set key(key) {
    this.#key = key;
    if (!this.#answer) this.#drop();
  }

  get isBusy() {
    return this.#answer !== null;
  }

  // Connects beforehand, so that the first question need not wait for it.
  connect() {
    if (this.#socket) return;
    const socket = (this.#socket = open(this.#key));
    this.#wasOpen = false;
    socket.addEventListener("open", () => this.#opened(socket));
    socket.addEventListener("message", (event) => this.#came(socket, event.data));
    socket.addEventListener("close", () => this.#closed(socket));
  }

  ask(fields, on) {
    const id = `r${++this.#names}`;
    this.#answer = { request: { type: "request", id, ...fields }, on, resume: null, next: 0, lost: 0, timer: 0 };
    if (this.#isOpen()) this.#send(this.#answer.request);
    else this.connect();
  }

  // The server then ends the answer, and says so; if it cannot be told, it is over here.
  cancel() {
    const answer = this.#answer;
    if (!answer) return;
    if (this.#isOpen()) this.#send({ type: "cancel", id: answer.request.id });
    else this.#end("done", { finish_reason: "cancelled" });
  }

  // Ends the answer here, with an error that was learnt elsewhere.
  fail(error) {
    if (this.#answer) this.#end("error", error);
  }

  #isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  // A question whose acceptance never came is asked again; one that was accepted goes on at the first
  // token that is missing.
  #opened(socket) {
    const answer = this.#answer;
    this.#heard = Date.now();
    if (socket !== this.#socket) return;
    this.#wasOpen = true;
    if (!answer) return;
    if (answer.resume) this.#send({ type: "resume", resume: answer.resume, from: answer.next });
    else this.#send(answer.request);
    if (answer.lost > 0) answer.on.back();
    answer.lost = 0;
  }

  #came(socket, data) {
    const answer = this.#answer;
    const message = JSON.parse(data);
    this.#heard = Date.now();
    if (socket !== this.#socket || !answer) return;
    if (message.id !== undefined && message.id !== answer.request.id) return; // of one that was given up
    if (message.type === "accepted") this.#accepted(answer, message);
    else if (message.type === "token") this.#token(answer, message);
    else if (message.type === "done") this.#end("done", message);
    else if (message.type === "error" && message.ends !== false)
      this.#end("error", new ServerError(message.status, message.error));
  }

  #accepted(answer, message) {
    answer.resume = message.resume;
    answer.on.accepted(message);
  }

  // Each index once and in order, whatever comes.
  #token(answer, message) {
    if (message.index < answer.next) return;
    if (message.index > answer.next) {
      this.#lose();
      return;
    }
    answer.next++;
    answer.on.token(message);
  }

  #end(what, message) {
    const answer = this.#answer;
    this.#answer = null;
    clearTimeout(answer.timer);
    answer.on[what](message);
  }

  #closed(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    const answer = this.#answer;
    if (!answer) {
      this.onidle(this.#wasOpen);
      return;
    }
    if (answer.lost >= tries) {
      this.#end("error", new ServerError(0, { message: "The server cannot be reached any more." }));
      return;
    }
    const wait = retry[Math.min(answer.lost++, retry.length - 1)];
    answer.on.lost(wait / 1000);
    answer.timer = setTimeout(() => this.connect(), wait);
  }

  // A connection may end without a word: then nothing comes, not even what was asked for.
  #watch() {
    if (!this.#answer || !this.#isOpen()) return;
    const silence = Date.now() - this.#heard;
    if (silence > 2 * quiet) this.#lose();
    else if (silence > quiet) this.#send({ type: "ping" });
  }

  // The connection is of no use any more.
  #lose() {
    const socket = this.#socket;
    socket.close();
    this.#closed(socket);
  }
}
