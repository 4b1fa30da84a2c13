"""Opens a frame with PyPI `jwcrypto`, an independent library.

Standard input: {"jwk": {...}, "frame": "...", "plaintext": "..."}. Exit code 0 only if the frame opens to that
plaintext, and a frame with one changed character does not open.
"""

import json
import sys

from jwcrypto import jwe, jwk

given = json.load(sys.stdin)
key = jwk.JWK(**given["jwk"])
allowed = ["dir", "A256CBC-HS512"]

token = jwe.JWE(algs=allowed)
token.deserialize(given["frame"], key)
if token.payload.decode() != given["plaintext"]:
    sys.exit("jwcrypto opened the frame to another plaintext")
if token.jose_header["kid"] != given["jwk"]["kid"]:
    sys.exit("the frame names another key")

parts = given["frame"].split(".")
parts[3] = ("B" if parts[3][0] == "A" else "A") + parts[3][1:]
try:
    jwe.JWE(algs=allowed).deserialize(".".join(parts), key)
except jwe.InvalidJWEData:
    print("jwcrypto opened the frame")
else:
    sys.exit("jwcrypto opened a changed frame")
