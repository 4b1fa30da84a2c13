"""The requests to the push providers, checked with independent libraries: http_ece opens the payloads of Web Push,
jwcrypto verifies the tokens of APNs, FCM and VAPID, standardwebhooks the signature of webhooks. All keys are generated
here."""

import base64
import json
import os
import subprocess
import time
import unittest
import urllib.parse

import http_ece
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwcrypto import jwk, jwt
from standardwebhooks import Webhook

from documents import REPOSITORY

DEADLINE = 1800
ENDPOINT = "https://push.example.net/p/1"
TOKEN_URI = "https://oauth2.googleapis.com/token"
SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()
BODY = "Now B 12 · 登机口"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def pem(key) -> str:
    pkcs8 = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption()).decode()


def point(key) -> bytes:
    uncompressed = serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(serialization.Encoding.X962, uncompressed)


def verified(token: str, key, algorithm: str) -> tuple[dict, dict]:
    """The header and claims of a token, as jwcrypto reads them."""
    public = jwk.JWK.from_pyca(key.public_key())
    # Times are compared with `now` below.
    seen = jwt.JWT(jwt=token, key=public, algs=[algorithm], check_claims={})
    return json.loads(seen.header), json.loads(seen.claims)


class Providers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.now = int(time.time())
        cls.apple, cls.vapid, cls.browser = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        cls.google = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        cls.auth = os.urandom(16)
        scalar = cls.vapid.private_numbers().private_value.to_bytes(32, "big")
        given = {
            "credentials": {
                "apns": {
                    "keyId": "ABC123DEFG",
                    "teamId": "DEF123GHIJ",
                    "topic": "com.example.app",
                    "privateKey": pem(cls.apple),
                },
                "fcm": {
                    "project_id": "example",
                    "client_email": "push@example.iam.gserviceaccount.com",
                    "private_key": pem(cls.google),
                    "token_uri": TOKEN_URI,
                },
                "webpush": {
                    "subject": "mailto:push@example.com",
                    "privateKey": base64url(scalar),
                    "publicKey": base64url(point(cls.vapid)),
                },
                "webhook": {"url": "https://example.com/push", "secret": SECRET},
            },
            "subscription": {
                "endpoint": ENDPOINT,
                "keys": {"p256dh": base64url(point(cls.browser)), "auth": base64url(cls.auth)},
            },
            "now": cls.now,
        }
        command = ["cargo", "run", "--quiet", "--locked", "--example", "requests"]
        ran = subprocess.run(
            command, cwd=REPOSITORY, input=json.dumps(given), capture_output=True, text=True, timeout=DEADLINE
        )
        if ran.returncode != 0:
            raise RuntimeError(ran.stderr)
        cls.requests = json.loads(ran.stdout)

    def request(self, name: str) -> tuple[dict, bytes]:
        request = self.requests[name]
        return request["headers"], base64.b64decode(request["body"])

    def test_a_web_push_opens(self):
        headers, body = self.request("webpush")
        self.assertEqual(headers["content-encoding"], "aes128gcm")
        self.assertLessEqual(len(body), 4096)
        plain = http_ece.decrypt(body, private_key=self.browser, auth_secret=self.auth, version="aes128gcm")
        seen = json.loads(plain)
        self.assertEqual((seen["title"], seen["body"]), ("Gate change", BODY))

    def test_a_web_push_opens_with_no_other_secret(self):
        _, body = self.request("webpush")
        with self.assertRaises(Exception):
            http_ece.decrypt(body, private_key=self.browser, auth_secret=os.urandom(16), version="aes128gcm")

    def test_vapid_says_who_sends(self):
        headers, _ = self.request("webpush")
        scheme, parameters = headers["authorization"].split(" ", 1)
        self.assertEqual(scheme, "vapid")
        parts = dict(parameter.strip().split("=", 1) for parameter in parameters.split(","))
        self.assertEqual(from_base64url(parts["k"]), point(self.vapid))
        _, claims = verified(parts["t"], self.vapid, "ES256")
        self.assertEqual((claims["aud"], claims["sub"]), ("https://push.example.net", "mailto:push@example.com"))
        self.assertTrue(self.now < claims["exp"] <= self.now + 24 * 3600)

    def test_apns_knows_the_team(self):
        headers, body = self.request("apns")
        header, claims = verified(headers["authorization"].removeprefix("bearer "), self.apple, "ES256")
        self.assertEqual(header, {"alg": "ES256", "kid": "ABC123DEFG"})
        self.assertEqual(claims, {"iss": "DEF123GHIJ", "iat": self.now})
        self.assertEqual(json.loads(body)["aps"]["alert"], {"title": "Gate change", "body": BODY})

    def test_google_knows_the_account(self):
        _, body = self.request("fcmToken")
        form = dict(urllib.parse.parse_qsl(body.decode()))
        self.assertEqual(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer")
        _, claims = verified(form["assertion"], self.google, "RS256")
        self.assertEqual((claims["iss"], claims["aud"]), ("push@example.iam.gserviceaccount.com", TOKEN_URI))
        self.assertTrue(claims["iat"] < claims["exp"] <= claims["iat"] + 3600)

    def test_a_webhook_is_signed(self):
        headers, body = self.request("webhook")
        seen = Webhook(SECRET).verify(body, headers)
        self.assertEqual(seen["data"]["body"], BODY)

    def test_a_token_of_another_key_is_refused(self):
        headers, _ = self.request("apns")
        with self.assertRaises(Exception):
            verified(headers["authorization"].removeprefix("bearer "), self.browser, "ES256")


if __name__ == "__main__":
    unittest.main()
