// Builds dist/: two minified ES modules and their types. The console takes the first one along.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

rmSync(at("dist"), { recursive: true, force: true });
await build({
  entryPoints: { tidings: at("src/index.ts"), push: at("src/push.ts") },
  outdir: at("dist"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  platform: "neutral",
  legalComments: "none",
});
const tsc = at("node_modules/typescript/bin/tsc");
const types = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", at("dist")];
execFileSync(process.execPath, [tsc, "--project", at("tsconfig.json"), ...types], { stdio: "inherit" });

const vendor = at("../../local/console/vendor");
if (existsSync(vendor)) {
  copyFileSync(at("dist/tidings.js"), `${vendor}/tidings.js`);
}
for (const name of ["tidings.js", "push.js"]) {
  const file = readFileSync(at(`dist/${name}`));
  console.log(`dist/${name}  ${file.length} bytes, ${gzipSync(file, { level: 9 }).length} gzipped`);
}
