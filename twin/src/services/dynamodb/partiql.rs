//! The head of a PartiQL statement: what the statement does, and to which table or index
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html>).

/// What a statement does, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The right that it needs, without the service.
    pub(super) action: &'static str,
    pub(super) table: String,
    pub(super) index: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A keyword, or a name without quotes.
    Word(String),
    /// What stands in quotes, which is never a keyword.
    Quoted(String),
    /// Any other character.
    Sign(char),
}

impl Token {
    fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found.eq_ignore_ascii_case(word))
    }

    /// The name of a table or an index. `FROM` without quotes is never one.
    fn into_name(self) -> Option<String> {
        match self {
            Self::Word(name) if !name.eq_ignore_ascii_case("FROM") => Some(name),
            Self::Quoted(name) if !name.is_empty() => Some(name),
            Self::Word(_) | Self::Quoted(_) | Self::Sign(_) => None,
        }
    }
}

/// Reads the head of a statement; none if the twin does not understand it.
pub(super) fn target(statement: &str) -> Option<Target> {
    let mut tokens = Tokens(statement);
    let Token::Word(verb) = tokens.next()? else { return None };
    let (action, introduction) = match verb.to_ascii_uppercase().as_str() {
        "SELECT" => ("PartiQLSelect", Some("FROM")),
        "INSERT" => ("PartiQLInsert", Some("INTO")),
        "DELETE" => ("PartiQLDelete", Some("FROM")),
        // `FROM table SET …` is an update, too.
        "UPDATE" | "FROM" => ("PartiQLUpdate", None),
        _ => return None,
    };
    if let Some(word) = introduction {
        // Only a selection has something before the word, the attributes.
        while !tokens.next()?.is_word(word) {
            if action != "PartiQLSelect" {
                return None;
            }
        }
    }
    let table = tokens.next()?.into_name()?;
    let is_qualified = Tokens(tokens.0).next() == Some(Token::Sign('.'));
    let index = if is_qualified { Some(tokens.nth(1)?.into_name()?) } else { None };
    Some(Target { action, table, index })
}

/// The tokens of the rest of a statement. They end at the first that the twin does not know.
struct Tokens<'s>(&'s str);

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.0 = without_blanks(self.0)?;
        let first = self.0.chars().next()?;
        let (token, rest) = match first {
            '\'' | '"' => {
                let (text, rest) = quoted(self.0, first)?;
                (Token::Quoted(text), rest)
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let (word, rest) = split(self.0, |it| it.is_ascii_alphanumeric() || it == '_');
                (Token::Word(word.to_owned()), rest)
            }
            '0'..='9' => {
                let (_, rest) = split(self.0, |it| it.is_ascii_digit());
                // A number may end within the letters: `1e5FROM`.
                if rest.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_') {
                    return None;
                }
                (Token::Sign('0'), rest)
            }
            // A literal of Ion may contain anything.
            '`' | '#' => return None,
            sign if sign.is_ascii_punctuation() => (Token::Sign(sign), &self.0[1..]),
            _ => return None,
        };
        self.0 = rest;
        Some(token)
    }
}

/// The text without the blanks and comments at its beginning; none if a comment does not end.
fn without_blanks(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_start_matches(|it: char| it.is_ascii_whitespace());
        text = match text {
            _ if text.starts_with("--") => text.split_once('\n').map_or("", |(_, rest)| rest),
            _ if text.starts_with("/*") => text[2..].split_once("*/")?.1,
            _ => return Some(text),
        };
    }
}

/// What stands in the quotes at the beginning, where a doubled quote stands for one, and the rest; none if the quotes
/// are not closed.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut inner = String::new();
    let mut rest = &text[1..];
    loop {
        let (part, behind) = rest.split_once(quote)?;
        inner.push_str(part);
        match behind.strip_prefix(quote) {
            Some(behind) => {
                inner.push(quote);
                rest = behind;
            }
            None => return Some((inner, behind)),
        }
    }
}

/// The part of a text whose characters all fit, and the rest.
fn split(text: &str, fits: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|it| !fits(it)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(action: &'static str, table: &str, index: Option<&str>) -> Option<Target> {
        Some(Target { action, table: table.to_owned(), index: index.map(str::to_owned) })
    }

    #[test]
    fn the_head_names_the_table_however_it_is_written() {
        let select = |table: &str| of("PartiQLSelect", table, None);
        let rows = [
            ("SELECT * FROM others", select("others")),
            ("SELECT * FROM \"others\"", select("others")),
            ("SELECT * FROM\"others\"WHERE pk='a'", select("others")),
            ("select*from others", select("others")),
            ("SELECT * FROM\tothers;", select("others")),
            ("-- FROM mine\nSELECT * FROM others", select("others")),
            ("/* FROM mine */SELECT/**/*/*x*/FROM/*y*/others -- FROM mine", select("others")),
            ("SELECT \"from\", 'from mine', a[0].b FROM others", select("others")),
            ("SELECT pk FROM others WHERE pk = ' FROM mine'", select("others")),
            ("SELECT * FROM 'others'", select("others")),
            ("SELECT * FROM \"a.b\"", select("a.b")),
            ("SELECT * FROM \"a\"\"b\"", select("a\"b")),
            ("SELECT * FROM a . \"b.c\" WHERE d=1", of("PartiQLSelect", "a", Some("b.c"))),
            ("INSERT INTO\"others\" VALUE {'pk':'p2'}", of("PartiQLInsert", "others", None)),
            ("UPDATE\"others\" SET a=1 WHERE pk='a'", of("PartiQLUpdate", "others", None)),
            ("FROM others WHERE pk='a' SET a=1", of("PartiQLUpdate", "others", None)),
            ("DELETE FROM others WHERE pk='a'", of("PartiQLDelete", "others", None)),
        ];
        for (statement, target) in rows {
            assert_eq!(super::target(statement), target, "{statement}");
        }
    }

    #[test]
    fn what_is_not_understood_has_no_target() {
        let rows = [
            "",
            "\"SELECT\" * FROM others",
            "(SELECT * FROM others)",
            "EXISTS(SELECT * FROM others WHERE pk='a')",
            "/* SELECT * FROM others",
            "SELECT * FROM \"others",
            "SELECT a, from FROM others",
            "SELECT 1e5FROM others",
            "SELECT `FROM mine` FROM others",
            "SELECT * FROM others.",
            "SELECT * FROM 5",
            "SELECT *\u{a0}FROM others",
            "INSERT \"x\" INTO others VALUE {}",
            "DELETE a FROM others",
            "DROP TABLE others",
        ];
        for statement in rows {
            assert_eq!(target(statement), None, "{statement}");
        }
    }
}
