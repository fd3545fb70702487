// `edgellm serve` asked by OpenAI's own package for Node, as its users ask.
//
//     NODE_PACKAGES=FOLDER node tests/clients/test_openai.mjs EDGELLM MAKE_TINY OUT_DIR
//
// FOLDER holds node_modules with the package openai: `make test-clients`.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";

const OpenAI = createRequire(path.resolve(process.env.NODE_PACKAGES, "x.js"))("openai");
const [edgellm, makeTiny, out] = process.argv.slice(2).map((name) => path.resolve(name));
const [gguf, model] = ["tiny.gguf", "tiny.tm2.bin"].map((name) => path.join(out, name));
const key = "a-key";
const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: "the fox" }];
const environment = { ...process.env, EDGELLM_CACHE: "none", EDGELLM_API_KEY: key };
let server, client, right;

/** What `edgellm run` answers. */
function run(...options) {
    const said = execFileSync(edgellm, ["run", model, ...options, "--json"],
        { env: environment, timeout: 60000, stdio: ["ignore", "pipe", "ignore"] });
    return JSON.parse(said);
}

/** The address, from the line that comes when the server is ready. */
function ready(process) {
    return new Promise((resolve, reject) => {
        let line = "";
        process.stdout.on("data", (data) => {
            line += data;
            if (line.includes("\n")) resolve(line.split(" at ")[1].split(" ")[0]);
        });
        process.on("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
}

before(async () => {
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out, { recursive: true });
    execFileSync(makeTiny, [gguf], { timeout: 60000 });
    execFileSync(edgellm, ["quantize", gguf, "-o", model, "-q"], { timeout: 60000 });
    server = spawn(edgellm, ["serve", model, "--port", "0", "--calibrate", "20"],
        { env: environment, stdio: ["ignore", "pipe", "inherit"] });
    const url = await ready(server);
    client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
    right = run("--system", "Be brief.", "-p", "the fox", "-n", "20", "-t", "0");
});

after(async () => {
    server.removeAllListeners("exit");
    const ended = new Promise((resolve) => server.on("exit", resolve));
    server.kill("SIGTERM");
    assert.equal(await ended, 0);
});

test("models", async () => {
    const ids = [];
    for await (const one of await client.models.list()) ids.push(one.id);
    assert.deepEqual(ids, ["tiny"]);
    assert.equal((await client.models.list()).data[0].object, "model");
    assert.equal((await client.models.retrieve("tiny")).id, "tiny");
});

test("chat, whole", async () => {
    const answer = await client.chat.completions.create(
        { model: "tiny", messages, max_completion_tokens: 20, temperature: 0 });
    assert.equal(answer.choices[0].message.role, "assistant");
    assert.equal(answer.choices[0].message.content, right.text);
    assert.equal(answer.choices[0].finish_reason, "length");
    assert.equal(answer.usage.completion_tokens, 20);
    assert.equal(answer.usage.total_tokens, right.prompt_tokens + 20);
});

test("chat, streamed", async () => {
    const stream = await client.chat.completions.create({ model: "tiny", messages, max_tokens: 20,
        temperature: 0, stream: true, stream_options: { include_usage: true } });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    assert.equal(text, right.text);
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    assert.equal(chunks.at(-2).choices[0].finish_reason, "length");
    assert.equal(chunks.at(-1).usage.completion_tokens, 20);
});

test("chat, by the stream helper", async () => {
    const stream = client.chat.completions.stream(
        { model: "tiny", messages, max_tokens: 20, temperature: 0 });
    assert.equal(await stream.finalContent(), right.text);
});

test("completions, whole and streamed", async () => {
    const text = run("--raw", "-p", "the fox", "-n", "12", "-s", "3").text;
    const asked = { model: "tiny", prompt: "the fox", max_tokens: 12, seed: 3 };
    assert.equal((await client.completions.create(asked)).choices[0].text, text);
    let streamed = "";
    for await (const chunk of await client.completions.create({ ...asked, stream: true }))
        streamed += chunk.choices[0].text;
    assert.equal(streamed, text);
});

test("answers keep to a schema", async () => {
    const schema = { type: "object", required: ["on", "level"], additionalProperties: false,
        properties: { on: { type: "boolean" }, level: { type: "integer", minimum: 0, maximum: 9 } } };
    for (let seed = 0; seed < 3; seed++) {
        const answer = await client.chat.completions.create({ model: "tiny", messages, seed,
            temperature: 2, response_format: {
                type: "json_schema", json_schema: { name: "lamp", strict: true, schema } } });
        const lamp = JSON.parse(answer.choices[0].message.content);
        assert.deepEqual(Object.keys(lamp), ["on", "level"]);
        assert.equal(typeof lamp.on, "boolean");
        assert.ok(Number.isInteger(lamp.level) && lamp.level >= 0 && lamp.level <= 9);
    }
});

test("choices and embeddings", async () => {
    const two = await client.chat.completions.create({ model: "tiny", messages, n: 2, max_tokens: 5 });
    assert.deepEqual(two.choices.map((choice) => choice.index), [0, 1]);
    const [fox, dog] = (await client.embeddings.create({ model: "tiny", input: ["a fox", "a dog"] })).data;
    assert.equal(fox.embedding.length, dog.embedding.length);
    const length = Math.hypot(...fox.embedding);
    assert.ok(Math.abs(length - 1) < 1e-5, String(length));
});

test("what is wrong has its class", async () => {
    const chat = (more) => client.chat.completions.create({ model: "tiny", messages, ...more });
    await assert.rejects(chat({ n: 9 }), (error) => error instanceof OpenAI.BadRequestError &&
        error.status === 400 && error.param === "n" && error.type === "invalid_request_error");
    const tool = { type: "function", function: { name: "two words", parameters: {} } };
    await assert.rejects(chat({ tools: [tool] }),
        (error) => error instanceof OpenAI.BadRequestError && error.param === "tools[0].function.name");
    await assert.rejects(client.completions.create({ model: "tiny", prompt: "x ".repeat(1000) }),
        (error) => error.code === "context_length_exceeded");
    await assert.rejects(client.moderations.create({ input: "x" }), OpenAI.NotFoundError);
    const stranger = new OpenAI({ baseURL: client.baseURL, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
    assert.ok((await refusal()).answer_ms > 0);
});

/** The forecast of an answer that is refused for its deadline. */
async function refusal() {
    const late = { model: "tiny", prompt: "the fox ".repeat(20), max_tokens: 150, deadline_ms: 1 };
    for (let tries = 0; tries < 100; tries++) {
        const error = await client.completions.create(late).then(() => null, (why) => why);
        assert.ok(error instanceof OpenAI.UnprocessableEntityError);
        assert.equal(error.code, "deadline_refused");
        if (error.error.forecast) return error.error.forecast;
    } // without one, if its time had passed before it was looked at
    return null;
}

/** Sessions that are taken, by /metrics. */
async function taken() {
    const reply = await fetch(client.baseURL.replace(/\/v1$/, "/metrics"),
        { headers: { Authorization: `Bearer ${key}` } });
    return Number(/^edgellm_sessions_taken (\d+)$/m.exec(await reply.text())[1]);
}

test("an abort in the middle frees the session", async () => {
    const left = new AbortController();
    const asked = { model: "tiny", messages, ignore_eos: true, stream: true };
    const stream = await client.chat.completions.create(asked, { signal: left.signal });
    let chunks = 0;
    for await (const chunk of stream) {
        assert.equal(chunk.object, "chat.completion.chunk");
        if (++chunks === 2) left.abort();
    }
    assert.ok(left.signal.aborted && chunks >= 2);
    for (let tries = 0; tries < 600 && await taken() > 0; tries++)
        await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(await taken(), 0);
    await assert.rejects(client.chat.completions.create(asked, { signal: AbortSignal.abort() }),
        OpenAI.APIUserAbortError);
});
