//! The credential in an `Authorization` header, and what is wrong with it as far as its form shows.

use axum::http::{HeaderMap, HeaderValue, header};
use tidings_crypto::app_key::{AppKey, AppKeyError};
use tidings_wire::FieldProblem;

use crate::http::error::{ApiError, KeyFault, TokenFault};

/// Prefix of every app key.
const KEY_PREFIX: &str = "td_";

/// The app key of a request, if it has the form of one.
///
/// # Errors
/// [`ApiError::NoAppKey`], [`ApiError::WrongAppKey`], or that the header is given twice.
pub(super) fn app_key(headers: &HeaderMap) -> Result<String, ApiError> {
    let key = bearer(headers)?.ok_or(ApiError::NoAppKey)?;
    match AppKey::parse(&key) {
        Ok(_) => Ok(key),
        Err(AppKeyError::CutShort) => Err(ApiError::WrongAppKey(KeyFault::Form(AppKeyError::CutShort))),
        Err(_) if is_jws(&key) => Err(ApiError::WrongAppKey(KeyFault::DeviceToken)),
        Err(wrong) => Err(ApiError::WrongAppKey(KeyFault::Form(wrong))),
    }
}

/// The token of a device's request.
///
/// # Errors
/// [`ApiError::NoToken`], [`ApiError::WrongToken`] for an app key, or that the header is given twice.
pub(super) fn token(headers: &HeaderMap) -> Result<String, ApiError> {
    let token = bearer(headers)?.ok_or(ApiError::NoToken)?;
    if token.starts_with(KEY_PREFIX) { Err(ApiError::WrongToken(TokenFault::AppKey)) } else { Ok(token) }
}

/// The credential of an `Authorization: Bearer` header. Bytes that are not UTF-8 become U+FFFD, which no valid
/// credential has.
fn bearer(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let Some(value) = values.next() else { return Ok(None) };
    // API Gateway joins two headers of the same name with a comma, which no key and no token has.
    if values.next().is_some() || value.contains(&b',') {
        return Err(vec![FieldProblem::new("Authorization", "is given twice, or has a comma")].into());
    }
    let value = String::from_utf8_lossy(value);
    let (scheme, shown) = value.split_once(' ').unwrap_or((&value, ""));
    Ok(scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim().to_owned()).filter(|shown| !shown.is_empty()))
}

/// Whether a text has the three parts of a JWS, the first of them a JSON object in base64url.
fn is_jws(text: &str) -> bool {
    text.starts_with("ey") && text.matches('.').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    fn refusal<T: std::fmt::Debug>(result: Result<T, ApiError>) -> (u16, String) {
        let error = result.unwrap_err();
        (error.status().as_u16(), error.to_string())
    }

    #[test]
    fn a_credential_that_is_no_key_is_named_by_its_form() {
        let key = AppKey::generate("demo", [5; 32]).unwrap();
        assert_eq!(app_key(&headers(&[&format!("Bearer {}", key.expose())])).unwrap(), key.expose());
        assert_eq!(app_key(&headers(&[&format!("bearer  {} ", key.expose())])).unwrap(), key.expose());
        for (value, status, part) in [
            ("Basic YTpi", 401, "send the app key"),
            ("Bearer", 401, "send the app key"),
            ("Bearer td_demo.…", 401, "ellipsis"),
            ("Bearer td_demo.el1lb94O…", 401, "ellipsis"),
            ("Bearer td_demo...", 401, "ellipsis"),
            ("Bearer nonsense", 401, "expected `td_<appId>.`"),
            ("Bearer td_demo.short", 401, "expected `td_<appId>.`"),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkIn0.c2ln", 401, "a device has signed"),
        ] {
            let (seen, detail) = refusal(app_key(&headers(&[value])));
            assert!(seen == status && detail.contains(part), "{value}: {detail}");
        }
        assert!(matches!(app_key(&headers(&[])), Err(ApiError::NoAppKey)));
    }

    #[test]
    fn a_header_that_is_given_twice_is_refused_by_name() {
        let key = AppKey::generate("demo", [5; 32]).unwrap();
        let one = format!("Bearer {}", key.expose());
        for values in [vec![one.as_str(), &one], vec![&format!("{one},{one}")], vec![&format!("{one}, Bearer x")]] {
            for error in [app_key(&headers(&values)).unwrap_err(), token(&headers(&values)).unwrap_err()] {
                let ApiError::Fields(problems) = error else { panic!("{error:?}") };
                assert_eq!(problems[0].field, "Authorization");
            }
        }
    }

    #[test]
    fn an_app_key_in_place_of_a_token_is_named() {
        let (status, detail) = refusal(token(&headers(&["Bearer td_demo.x"])));
        assert!(status == 401 && detail.contains("app key"), "{detail}");
        assert_eq!(token(&headers(&["Bearer a.b.c"])).unwrap(), "a.b.c");
        assert!(matches!(token(&headers(&["Basic x"])), Err(ApiError::NoToken)));
    }
}
