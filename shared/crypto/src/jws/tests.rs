use serde_json::json;

use super::*;

const EC_PEM: &str = include_str!("../../tests/keys/p256.pem");
const RSA_PEM: &str = include_str!("../../tests/keys/rsa2048.pem");
const SECRET: Hs256<'_> = Hs256(&[4; 32]);

fn keys() -> (EcKey, RsaKey) {
    (EcKey::from_pem(EC_PEM).unwrap(), RsaKey::from_pem(RSA_PEM).unwrap())
}

type Verifier<'a> = &'a dyn Fn(&str) -> Option<(Header, Value)>;

#[test]
fn each_algorithm_verifies_what_it_signed_and_no_other_does() {
    let (ec, rsa) = keys();
    let claims = json!({"iss": "me"});
    let header = Header::of(&SECRET).with_kid("K1").with_type();
    let Ok(hs256) = sign(&SECRET, header.clone(), &claims);
    let es256 = sign(&ec, header.clone(), &claims).unwrap();
    let tokens = [hs256, es256, sign(&rsa, header.clone(), &claims).unwrap()];
    let public = (ec.public(), rsa.public());
    let verifiers: [(Verifier<'_>, _); 3] = [
        (&|token| verify(token, &SECRET), Algorithm::Hs256),
        (&|token| verify(token, &public.0), Algorithm::Es256),
        (&|token| verify(token, &public.1), Algorithm::Rs256),
    ];
    for (signed, token) in tokens.iter().enumerate() {
        for (index, (verify, algorithm)) in verifiers.iter().enumerate() {
            let expected = Header { alg: *algorithm, ..header.clone() };
            assert_eq!(verify(token), (signed == index).then(|| (expected, claims.clone())), "{token}");
        }
    }
}

#[test]
fn a_header_is_written_in_one_order_and_named_as_json_web_keys_name_it() {
    let Ok(token) = sign(&SECRET, Header::of(&SECRET).with_kid("K1").with_type(), &json!({}));
    let header = encoding::from_base64url(token.split('.').next().unwrap()).unwrap();
    assert_eq!(header, br#"{"alg":"HS256","kid":"K1","typ":"JWT"}"#);
    for algorithm in [Algorithm::Hs256, Algorithm::Es256, Algorithm::Rs256] {
        assert_eq!(json!(algorithm), algorithm.as_str());
    }
}

#[test]
fn the_signature_is_that_of_rfc_7515_appendix_a_1() {
    let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly\
9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let key = encoding::from_base64url(key).unwrap();
    let Ok(signature) = Hs256(&key).sign(input.as_bytes());
    assert_eq!(encoding::base64url(&signature), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let (header, claims): (Header, Value) =
        verify(&format!("{input}.{}", encoding::base64url(&signature)), &Hs256(&key)).unwrap();
    assert_eq!(header, Header::of(&SECRET).with_type());
    assert_eq!(claims["iss"], "joe");
}

#[test]
fn the_signature_of_rfc_7515_appendix_a_3_holds() {
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
b290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let mut point = vec![4];
    for coordinate in ["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"] {
        point.extend(encoding::from_base64url(coordinate).unwrap());
    }
    let (_, claims): (Header, Value) = verify(token, &PublicKey::es256(&point)).unwrap();
    assert_eq!(claims["exp"], 1_300_819_380);
    point[64] ^= 1;
    assert_eq!(verify::<Value>(token, &PublicKey::es256(&point)), None);
}

#[test]
fn a_header_that_demands_what_is_not_implemented_is_refused_and_what_is_merely_unknown_is_kept() {
    let token = |header: &str| {
        let input = format!("{}.{}", encoding::base64url(header.as_bytes()), encoding::base64url(b"{}"));
        format!("{input}.{}", encoding::base64url(&mac::hmac_sha256(SECRET.0, input.as_bytes())))
    };
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"["HS256",null,null]"#,
        "{}",
        "",
    ] {
        assert_eq!(verify::<Value>(&token(header), &SECRET), None, "{header}");
    }
    let (header, _) = verify::<Value>(&token(r#"{"alg":"HS256","x5t":"abc"}"#), &SECRET).unwrap();
    assert_eq!(header.others, Map::from_iter([("x5t".to_owned(), json!("abc"))]));
    for text in ["", "..", "a.b", "a.b.c", "a.b.c.d"] {
        assert!(Unverified::parse(text).is_none(), "{text}");
    }
}

#[test]
fn a_text_that_is_no_key_is_refused_by_its_kind() {
    assert_eq!(EcKey::from_pem("nonsense").err(), Some(KeyError::Pem));
    assert_eq!(EcKey::from_pem(&EC_PEM[..60]).err(), Some(KeyError::Pem));
    assert_eq!(EcKey::from_pem(RSA_PEM).err(), Some(KeyError::P256));
    assert_eq!(RsaKey::from_pem(EC_PEM).err(), Some(KeyError::Rsa));
    // The certificate in place of the key.
    let other = EC_PEM.replace("PRIVATE KEY", "CERTIFICATE");
    assert_eq!(EcKey::from_pem(&other).err(), Some(KeyError::Pem));
    let (key, _) = keys();
    assert_eq!(EcKey::from_halves(&[7; 32], key.public().bytes()).err(), Some(KeyError::P256));
}

#[test]
fn no_key_and_no_token_prints() {
    let (ec, rsa) = keys();
    assert_eq!(format!("{ec:?} {rsa:?} {SECRET:?}"), "EcKey(***) RsaKey(***) Hs256(***)");
    let Ok(token) = sign(&SECRET, Header::of(&SECRET), &json!({"jti": "once"}));
    let printed = format!("{:?}", Unverified::parse(&token).unwrap());
    assert!(!printed.contains("once") && !printed.contains(token.rsplit_once('.').unwrap().1), "{printed}");
}
