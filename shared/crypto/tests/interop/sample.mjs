// Runs the sample of docs/protocol.md over docs/vectors.json: it opens what opens, and refuses what must be refused.
import { compactDecrypt, importJWK } from "jose";
import { readFile } from "node:fs/promises";

const read = (name) => readFile(new URL(`../../../../docs/${name}`, import.meta.url), "utf8");
const section = (await read("protocol.md")).split("\n## Sealed frames\n")[1].split("\n## ")[0];
const sample = section.split("```js\n")[1].split("```")[0].replace(/^import .*$/m, "");
const open = new Function("compactDecrypt", "importJWK", `${sample}\nreturn open;`)(compactDecrypt, importJWK);

const { frames, registration } = JSON.parse(await read("vectors.json"));
for (const { name, sealed, opened } of frames) {
  const seen = await open(sealed, registration.keys.content).catch(() => null);
  if (seen !== opened) throw new Error(`${name}: ${JSON.stringify(seen)}`);
}
console.log(`${frames.length} frames`);
