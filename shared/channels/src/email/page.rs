//! An email as HTML: the same text, readable in every mail program, light and dark.

/// The text of an email as HTML, paragraph by paragraph, with addresses of pages as links. Below it stands the link
/// that unsubscribes the reader.
pub(super) fn page(title: &str, text: &str, unsubscribe: Option<&str>) -> String {
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
         <body style=\"font:16px/1.5 sans-serif;max-width:36em;margin:0 auto;padding:16px\">\n\
         {paragraphs}{footer}</body></html>\n",
        escape(title)
    )
}

/// A line, with the address of a page in each of its words as a link.
fn line(text: &str) -> String {
    let word = |word: &str| {
        let Some((before, address, after)) = address(word) else { return escape(word) };
        let link = escape(address);
        format!("{}<a href=\"{link}\">{link}</a>{}", escape(before), escape(after))
    };
    text.trim_end_matches('\r').split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The address of a page in a word, with the text before and after it. It begins at the start of the word, or after an
/// opening bracket or a colon. The punctuation that ends the sentence is not part of it.
fn address(word: &str) -> Option<(&str, &str, &str)> {
    let opened = word.char_indices().filter(|(_, sign)| matches!(sign, '(' | '（' | '：'));
    let starts = std::iter::once(0).chain(opened.map(|(at, sign)| at + sign.len_utf8()));
    starts.filter_map(|start| word.split_at_checked(start)).find_map(|(before, rest)| {
        let scheme = ["https://", "http://"].into_iter().find(|scheme| rest.starts_with(scheme))?;
        let (address, after) = rest.split_at_checked(end(rest))?;
        (address.len() > scheme.len()).then_some((before, address, after))
    })
}

/// The offset at which an address ends: before the punctuation of its sentence. A closing bracket that was opened in
/// the address belongs to it.
fn end(text: &str) -> usize {
    let mut address = text;
    while let Some(last) = address.chars().next_back() {
        let is_unopened = |open: char| address.matches(last).count() > address.matches(open).count();
        let is_of_sentence = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '。' | '，' | '；' | '：' | '！' | '？' => true,
            ')' => is_unopened('('),
            ']' => is_unopened('['),
            '}' => is_unopened('{'),
            '）' => is_unopened('（'),
            '》' => is_unopened('《'),
            '」' => is_unopened('「'),
            _ => false,
        };
        if !is_of_sentence {
            break;
        }
        address = address.strip_suffix(last).unwrap_or_default();
    }
    address.len()
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
        let linked = line("see https://a.example/?a=1&b=2 or javascript:alert(1) or https:// now");
        assert_eq!(
            linked,
            "see <a href=\"https://a.example/?a=1&amp;b=2\">https://a.example/?a=1&amp;b=2</a> \
             or javascript:alert(1) or https:// now"
        );
    }

    #[test]
    fn a_link_is_without_the_signs_of_its_sentence() {
        for (text, before, link, after) in [
            ("https://a.example/x.", "", "https://a.example/x", "."),
            ("https://a.example/?q=1&r=2?!", "", "https://a.example/?q=1&amp;r=2", "?!"),
            ("(https://a.example/x),", "(", "https://a.example/x", "),"),
            ("(https://a.example/A_(b)).", "(", "https://a.example/A_(b)", ")."),
            ("https://a.example/A_(b)", "", "https://a.example/A_(b)", ""),
            ("http://[::1]", "", "http://[::1]", ""),
            ("[see:(http://a.example/]}", "[see:(", "http://a.example/", "]}"),
            ("详情：https://a.example/订单。", "详情：", "https://a.example/订单", "。"),
            ("请看（https://a.example/x）！", "请看（", "https://a.example/x", "）！"),
            ("「https", "「https", "", ""),
        ] {
            let linked = format!("{before}<a href=\"{link}\">{link}</a>{after}");
            let expected = if link.is_empty() { before.to_owned() } else { linked };
            assert_eq!(line(text), expected, "{text}");
        }
        for text in ["xhttps://a.example", "https://.", "(http://)", "（", "", "a：b（c"] {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn without_a_link_there_is_nothing_to_unsubscribe_by() {
        assert!(!page("t", "x", None).contains("Unsubscribe"));
    }
}
