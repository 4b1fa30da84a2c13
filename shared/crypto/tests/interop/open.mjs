// Opens a frame with npm `jose`, an independent library. Standard input: {"jwk": {…}, "frame": "…", "plaintext": "…"}.
// Exit code 0 only if the frame opens to that plaintext, and a frame with one changed character does not open.
import { compactDecrypt, importJWK } from "jose";
import process from "node:process";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const { jwk, frame, plaintext } = JSON.parse(input);

const key = await importJWK(jwk);
const opened = await compactDecrypt(frame, key, {
  keyManagementAlgorithms: ["dir"],
  contentEncryptionAlgorithms: ["A256CBC-HS512"],
});
const text = new TextDecoder().decode(opened.plaintext);
if (text !== plaintext) throw new Error("jose opened the frame to another plaintext");
if (opened.protectedHeader.kid !== jwk.kid) throw new Error("the frame names another key");

const parts = frame.split(".");
parts[3] = (parts[3][0] === "A" ? "B" : "A") + parts[3].slice(1);
const refused = await compactDecrypt(parts.join("."), key).then(
  () => false,
  () => true,
);
if (!refused) throw new Error("jose opened a changed frame");
console.log("jose opened the frame");
