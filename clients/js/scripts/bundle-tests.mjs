// Bundles tests/<folder>/*.test.ts to .tests/<folder>/, one file each, for Node's own runner.

import { readdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const folder = process.argv[2];

rmSync(at(`.tests/${folder}`), { recursive: true, force: true });
await build({
  entryPoints: readdirSync(at(`tests/${folder}`))
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => at(`tests/${folder}/${name}`)),
  outdir: at(`.tests/${folder}`),
  outExtension: { ".js": ".mjs" },
  bundle: true,
  packages: "external",
  format: "esm",
  platform: "node",
  target: "node20",
  sourcemap: "inline",
});
