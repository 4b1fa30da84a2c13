//! An e-mail as a page: the same text, readable in every mail program, light and dark.

/// The text of an e-mail as HTML, each paragraph by itself, with addresses of pages as links; below it, where its reader stops
/// emails like it.
pub(crate) fn page(title: &str, text: &str, unsubscribe: Option<&str>) -> String {
    let paragraphs: String = text
        .split("\n\n")
        .map(|paragraph| paragraph.lines().map(line).collect::<Vec<_>>().join("<br>"))
        .filter(|paragraph| !paragraph.trim().is_empty())
        .map(|paragraph| format!("<p>{paragraph}</p>\n"))
        .collect();
    let footer = unsubscribe.map_or_else(String::new, |link| {
        format!("<p style=\"font-size:12px\"><a href=\"{}\">Unsubscribe</a></p>\n", escape(link))
    });
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title></head>\n\
         <body style=\"font:16px/1.5 sans-serif;max-width:36em;margin:0 auto;padding:16px\">\n{paragraphs}{footer}</body></html>\n",
        escape(title)
    )
}

/// A line, with what begins as the address of a page and has no blank in it as a link.
fn line(text: &str) -> String {
    let word = |word: &str| {
        let is_link =
            ["https://", "http://"].iter().any(|scheme| word.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        let escaped = escape(word);
        if is_link { format!("<a href=\"{escaped}\">{escaped}</a>") } else { escaped }
    };
    text.trim_end_matches('\r').split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_stays_text() {
        let page = page(
            "A <b> & \"c\"",
            "<script>alert('x')</script>\n2 < 3\r\n\nBye",
            Some("https://a.example/u?x=1&y=\"2\""),
        );
        assert!(page.contains("<title>A &lt;b&gt; &amp; &quot;c&quot;</title>"), "{page}");
        assert!(
            page.contains("<p>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;<br>2 &lt; 3</p>\n<p>Bye</p>"),
            "{page}"
        );
        assert!(page.contains("<a href=\"https://a.example/u?x=1&amp;y=&quot;2&quot;\">Unsubscribe</a>"), "{page}");
        assert!(!page.contains("<script>"));
    }

    #[test]
    fn addresses_of_pages_are_links_and_nothing_else_is() {
        let told = line("see https://a.example/?a=1&b=2 or javascript:alert(1) or https:// now");
        assert_eq!(
            told,
            "see <a href=\"https://a.example/?a=1&amp;b=2\">https://a.example/?a=1&amp;b=2</a> or javascript:alert(1) or https:// now"
        );
    }

    #[test]
    fn without_a_link_there_is_nothing_to_unsubscribe_by() {
        assert!(!page("t", "x", None).contains("Unsubscribe"));
    }
}
