// Ask a running app from JavaScript, no package needed: node examples/call_api.mjs http://127.0.0.1:7860 IMAGE
// In a page, take the file from <input type="file"> in place of readFile.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";

const [app, image] = process.argv.slice(2);

async function answerOf(response) {
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response;
}

const form = new FormData();
form.append("files", new Blob([await readFile(image)]), basename(image));
const upload = await answerOf(await fetch(`${app}/gradio_api/upload`, { method: "POST", body: form }));
const [path] = await upload.json();

const file = { path, orig_name: basename(image), meta: { _type: "gradio.FileData" } };
const call = await answerOf(
  await fetch(`${app}/gradio_api/call/analyze`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ data: [file] }),
  }),
);
const { event_id } = await call.json();

// the answer comes as server-sent events: lines "event: complete" and "data: [...]", or "event: error"
const events = await (await answerOf(await fetch(`${app}/gradio_api/call/analyze/${event_id}`))).text();
const [, kind, data] = events.match(/event: (complete|error)\ndata: (.*)/);
if (kind === "error") throw new Error(`The app refused ${image}: ${data}`);
console.log(JSON.stringify(JSON.parse(data)[0], null, 2));
