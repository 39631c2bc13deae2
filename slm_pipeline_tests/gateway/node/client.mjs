// The official OpenAI client for Node, unmodified, against the gateway: `node client.mjs URL` prints one JSON line per scenario,
// {"scenario": NAME, ...what the client saw} or {"scenario": NAME, "error": CLASS, "status": ..., "message": ...}.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "sk-test", maxRetries: 0, timeout: 30_000 });
const chat = client.chat.completions;
const user = (content) => [{ role: "user", content }];
const tool = (name, parameter) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: { [parameter]: { type: "string" } }, required: [parameter] } },
});
const tools = [tool("weather", "city"), tool("news", "topic")];
const called = (message) => message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);

const scenarios = {
  async whole() {
    const completion = await chat.create({ model: "gpt-4o-mini", messages: user("node: whole, schöner Tag") });
    return { text: completion.choices[0].message.content, total: completion.usage.total_tokens };
  },
  async streamed() {
    const messages = user("node: streamed 👩‍👩‍👧");
    const stream = await chat.create({ model: "gpt-4o-mini", messages, stream: true, stream_options: { include_usage: true } });
    let [text, chunks, usage] = ["", 0, null];
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      chunks += 1;
      usage = chunk.usage ?? usage;
    }
    return { text, chunks, total: usage.total_tokens };
  },
  async tools() {
    const completion = await chat.create({ model: "gpt-4o-mini", messages: user("node: tools"), tools });
    return { calls: called(completion.choices[0].message) };
  },
  async streamed_tools() {
    const completion = await chat.stream({ model: "gpt-4o-mini", messages: user("node: tool stream"), tools }).finalChatCompletion();
    return { calls: called(completion.choices[0].message), finish: completion.choices[0].finish_reason };
  },
  async tool_loop() {
    const asked = [];
    const weather = tool("weather", "city");
    Object.assign(weather.function, { parse: JSON.parse, function: ({ city }) => (asked.push(city), "rain") });
    const runner = chat.runTools({ model: "gpt-4o-mini", messages: user("node: loop"), tools: [weather] });
    return { text: await runner.finalContent(), asked };
  },
  async structured() {
    const schema = { type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name", "age"] };
    const response_format = { type: "json_schema", json_schema: { name: "person", schema } };
    const completion = await chat.parse({ model: "gpt-4o-mini", messages: user("node: structured"), response_format });
    return { value: JSON.parse(completion.choices[0].message.content) };
  },
  async choices_and_logprobs() {
    const completion = await chat.create({ model: "gpt-4o-mini", messages: user("node: twice"), n: 2, logprobs: true });
    const tokens = completion.choices.map((choice) => choice.logprobs.content.map((token) => token.token).join(""));
    return { texts: completion.choices.map((choice) => choice.message.content), tokens };
  },
  async picture() {
    const parts = [{ type: "text", text: "node: picture" }, { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } }];
    const completion = await chat.create({ model: "gpt-4o", messages: user(parts) });
    return { text: completion.choices[0].message.content };
  },
  async embeddings() {
    const found = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"], dimensions: 6 });
    return { sizes: found.data.map((item) => item.embedding.length) };
  },
  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return { names };
  },
  async response() {
    const response = await client.responses.create({ model: "gpt-4o-mini", input: "node: response" });
    return { text: response.output_text };
  },
  async streamed_response() {
    const stream = await client.responses.create({ model: "gpt-4o-mini", input: "node: response stream", stream: true });
    const events = [];
    let text = "";
    for await (const event of stream) {
      events.push(event.type);
      text += event.type === "response.output_text.delta" ? event.delta : "";
    }
    return { text, first: events[0], last: events.at(-1) };
  },
  async error_400() {
    await chat.create({ model: "status-400", messages: user("node: 400") });
  },
  async error_429() {
    await chat.create({ model: "status-429", messages: user("node: 429"), stream: true });
  },
  async error_500() {
    await chat.create({ model: "status-500", messages: user("node: 500") });
  },
  async broken_stream() {
    for await (const _ of await chat.create({ model: "break", messages: user("node: broken"), stream: true }));
  },
  async error_in_stream() {
    for await (const _ of await chat.create({ model: "error-in-stream", messages: user("node: error inside"), stream: true }));
  },
  async abort() {
    const stream = await chat.create({ model: "slow-stream", messages: user("node: abort"), stream: true });
    let chunks = 0;
    for await (const _ of stream) {
      chunks += 1;
      if (chunks === 2) stream.controller.abort();
    }
    return { chunks };
  },
};

for (const [scenario, run] of Object.entries(scenarios)) {
  let seen;
  try {
    seen = await run();
  } catch (error) {
    seen = { error: error.constructor.name, status: error.status ?? null, message: error.message };
  }
  console.log(JSON.stringify({ scenario, ...seen }));
}
