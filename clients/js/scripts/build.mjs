// Builds dist/: two readable ES modules (bundlers minify them), each with a source map; the same two minified, for
// pages without a bundler; and the types. The first minified one is copied to the console.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

// Properties of the client's internal objects, which neither the app nor the wire nor a store uses. They get short
// names.
const INTERNAL = [
  "ackAgain",
  "acknowledged",
  "announce",
  "appState",
  "arrivedBefore",
  "attempt",
  "automatic",
  "awaitsReplay",
  "changed",
  "confirmed",
  "connected",
  "correct",
  "doubt",
  "enqueue",
  "finish",
  "isFirst",
  "giveUp",
  "isOtherLog",
  "keep",
  "listens",
  "openFirst",
  "openSuccessor",
  "perform",
  "receipt",
  "received",
  "refused",
  "replayOverdue",
  "report",
  "resume",
  "rolledOver",
  "sent",
  "short",
  "shownElsewhere",
  "show",
  "wasShown",
  "slot",
  "takeUnsent",
];

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

rmSync(at("dist"), { recursive: true, force: true });
mkdirSync(at("dist"));
const minified = (name) => name.replace(".js", ".min.js");
const bundles = { "tidings.js": "src/index.ts", "push.js": "src/push.ts" };
for (const [name, entry] of Object.entries(bundles)) {
  const options = { bundle: true, format: "esm", target: "es2022", platform: "neutral", entryPoints: [at(entry)] };
  await build({ ...options, outfile: at(`dist/${name}`), sourcemap: true });
  const short = { mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`), minifyIdentifiers: true, minifySyntax: true };
  const { outputFiles } = await build({ ...options, ...short, write: false });
  // Terser shrinks esbuild's output further: together 400 bytes less than esbuild alone, gzipped.
  const compress = { passes: 3, unsafe: true, unsafe_comps: true, unsafe_methods: true, keep_fargs: false };
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress });
  writeFileSync(at(`dist/${minified(name)}`), `${code}\n`);
}
const tsc = at("node_modules/typescript/bin/tsc");
const types = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", at("dist")];
execFileSync(process.execPath, [tsc, "--project", at("tsconfig.json"), ...types], { stdio: "inherit" });

const vendor = at("../../tidings/console/vendor");
if (existsSync(vendor)) {
  writeFileSync(`${vendor}/tidings.js`, readFileSync(at("dist/tidings.min.js")));
}
for (const name of Object.keys(bundles)) {
  const file = readFileSync(at(`dist/${minified(name)}`));
  console.log(`dist/${minified(name)}  ${file.length} bytes, ${gzipSync(file, { level: 9 }).length} gzipped`);
}
