// A twin, a browser, and what every page of the console has to hold.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Nothing that is waited for takes this long. */
export const PATIENCE = 30_000;

/** The lines in which every twin prints its addresses, and the names of these here. */
const ADDRESSES = { console: "console", "HTTP API": "api", WebSocket: "socket", AWS: "aws" };

/** Starts the twin of Tidings: its URLs, its demo app's key, and how to stop it. */
export function startTwin(...more) {
  const options = ["up", "--template", join(ROOT, "template.yaml"), "--providers-port", "0", ...more];
  const program = process.env.TIDINGS?.split(" ") ?? cargoRun("tidings");
  return start(program, options, { ...ADDRESSES, providers: "providers", "its key": "key" });
}

/** Starts `sam-twin` with the template of its README: its URLs, and how to stop it. */
export function startPlainTwin() {
  const options = ["--template", join(ROOT, "twin/examples/hello/template.yaml")];
  return start(process.env.SAM_TWIN?.split(" ") ?? cargoRun("sam-twin"), options, ADDRESSES);
}

const cargoRun = (name) => [
  ...["cargo", "run", "--quiet", "--locked", "--manifest-path", join(ROOT, "Cargo.toml")],
  ...["--package", name, "--bin", name, "--"],
];

/** Starts a program on free ports, in a separate folder; `names` are the beginnings of the lines that it prints. */
async function start([program, ...first], options, names) {
  const folder = mkdtempSync(join(tmpdir(), "tidings-console-"));
  const ports = ["--http-port", "--socket-port", "--aws-port", "--console-port"].flatMap((port) => [port, "0"]);
  const child = spawn(program, [...first, ...options, "--log", "error", ...ports], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve, reject) => child.once("exit", resolve).once("error", reject));
  const printed = {};
  for await (const line of createInterface({ input: child.stdout })) {
    for (const [name, as] of Object.entries(names)) {
      if (line.startsWith(`  ${name}`)) printed[as] = line.trim().split(/\s+/).at(-1);
    }
    if (line.startsWith("Ctrl-C")) break;
  }
  const found = Object.keys(printed).length;
  assert.equal(found, Object.keys(names).length, `the twin did not start: ${JSON.stringify(printed)}`);
  const stop = async () => {
    child.kill("SIGINT");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { ...printed, stop };
}

export function startBrowser() {
  const names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
  const folders = process.env.PATH.split(delimiter);
  const found = [process.env.CHROMIUM, ...names.flatMap((name) => folders.map((folder) => join(folder, name)))]
    .filter(Boolean)
    .find(isProgram);
  assert.ok(found, "there is no Chromium on the path; CHROMIUM names one");
  // The page needs none of the sandbox that root cannot have.
  return chromium.launch({ executablePath: found, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A page, and all that the browser complains of meanwhile. `expected` are complaints that belong to the test. */
export async function openPage(browser, url, { expected = [], ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const complaints = [];
  const complain = (text) => expected.some((pattern) => pattern.test(text)) || complaints.push(text);
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complain(message.text()));
  page.on("pageerror", (error) => complain(error.stack));
  await page.goto(url);
  const close = async () => {
    await context.close();
    assert.deepEqual(complaints, [], "the browser complains: scripts, requests or the content security policy");
  };
  return { page, close };
}

/** Texts that are too faint for their background (WCAG 2.2 AA), and edges of controls. Runs in the page. */
export function faint() {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) =>
    rgb
      .map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
      .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ratio = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const backgrounds = (element) =>
    element ? [...backgrounds(element.parentElement), getComputedStyle(element).backgroundColor] : ["white"];
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(":disabled, #skip")) continue;
    const style = getComputedStyle(element);
    const behind = backgrounds(element);
    const contrast = ratio(over([...behind, element.closest("svg") ? style.fill : style.color]), over(behind));
    const isLarge =
      parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (contrast < (isLarge ? 3 : 4.5)) {
      found.add(`${contrast.toFixed(2)} ${element.outerHTML.slice(0, 60)} ${walker.currentNode.data.slice(0, 40)}`);
    }
  }
  for (const control of document.querySelectorAll("input, select, textarea, button")) {
    if (!control.checkVisibility() || control.matches(":disabled, #skip")) continue;
    const behind = backgrounds(control.parentElement);
    const contrast = ratio(over([...behind, getComputedStyle(control).borderTopColor]), over(behind));
    if (contrast < 3)
      found.add(
        `${contrast.toFixed(2)} edge of ${control.tagName}.${control.className} ${control.name || control.textContent}`,
      );
  }
  return [...found];
}

/** Controls without a name, and names that stand twice. Runs in the page. */
export function nameless() {
  const controls = [...document.querySelectorAll("main :is(input, select, textarea, button, a)")].filter((it) =>
    it.checkVisibility(),
  );
  const named = (it) =>
    it.getAttribute("aria-label") || it.labels?.[0]?.textContent || (it.matches("button, a") && it.textContent.trim());
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  return [
    ...controls.filter((it) => !named(it)).map((it) => it.outerHTML),
    ...ids.filter((id, place) => ids.indexOf(id) !== place),
  ];
}
