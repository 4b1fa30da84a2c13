// Builds dist/: two minified ES modules and their types. The console takes the first one along.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

// Properties of the client's own objects, which nobody else sees: not the app, the wire, or a store. They get short names.
const INTERNAL = [
  ...["ackAgain", "acknowledged", "anew", "appState", "arrivedBefore", "attempt", "automatic"],
  ...["awaitsReplay", "confirmed", "doubt", "giveUp", "heard", "keep", "listens", "receipt", "received", "refused"],
  ...["replayOverdue", "report", "rolledOver", "said", "say", "short", "takeUnsaid", "tell"],
];

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

rmSync(at("dist"), { recursive: true, force: true });
mkdirSync(at("dist"));
const bundles = { "tidings.js": "src/index.ts", "push.js": "src/push.ts" };
for (const [name, entry] of Object.entries(bundles)) {
  const options = { bundle: true, format: "esm", target: "es2022", platform: "neutral", write: false };
  const { outputFiles } = await build({ entryPoints: [at(entry)], ...options });
  // Terser's output is 300 bytes smaller than what esbuild makes of it by itself, gzipped.
  const mangle = { properties: { regex: new RegExp(`^(${INTERNAL.join("|")})$`) } };
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2020, compress: { passes: 3 }, mangle });
  writeFileSync(at(`dist/${name}`), `${code}\n`);
}
const tsc = at("node_modules/typescript/bin/tsc");
const types = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", at("dist")];
execFileSync(process.execPath, [tsc, "--project", at("tsconfig.json"), ...types], { stdio: "inherit" });

const vendor = at("../../tidings/console/vendor");
if (existsSync(vendor)) {
  writeFileSync(`${vendor}/tidings.js`, readFileSync(at("dist/tidings.js")));
}
for (const name of Object.keys(bundles)) {
  const file = readFileSync(at(`dist/${name}`));
  console.log(`dist/${name}  ${file.length} bytes, ${gzipSync(file, { level: 9 }).length} gzipped`);
}
