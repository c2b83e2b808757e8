//! What a page says about itself: Open Graph, and what stands in for it (ogp.me, HTML standard).

use std::collections::BTreeMap;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

/// Properties that are told of one page, and letters of each.
const PROPERTIES: usize = 32;
const LETTERS: usize = 1_000;
/// Bytes of the name of a property.
const NAME_BYTES: usize = 64;
/// Bytes at the start of a page in which it may name its encoding (HTML standard, prescan).
const PRESCAN: usize = 1_024;

/// What a page says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Properties of Open Graph, but for those of pictures; title and description from elsewhere where
    /// they are not among them.
    pub(super) properties: BTreeMap<String, String>,
    /// Where its picture is, as the page writes it.
    pub(super) image: Option<String>,
}

/// Reads a page, of which the end may be missing.
pub(super) fn read(bytes: &[u8], content_type: Option<&str>) -> Page {
    let text = decoded(bytes, content_type);
    let mut emitter = DefaultEmitter::default();
    // Scripts hold what looks like tags, and titles hold no tags at all.
    emitter.naively_switch_states(true);
    let mut found = Found::default();
    for token in Tokenizer::new_with_emitter(&text, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => found.start(&tag),
            Token::EndTag(tag) if &**tag.name == b"title" => found.in_title = false,
            Token::String(text) if found.in_title => {
                found.title.push_str(&String::from_utf8_lossy(&text));
                if found.title.len() > 16 * LETTERS {
                    found.in_title = false;
                }
            }
            _ => {}
        }
    }
    found.page()
}

/// The bytes as text: by their mark, by what the answer says, by what the page says, or by what they
/// look like.
fn decoded(bytes: &[u8], content_type: Option<&str>) -> String {
    let said = content_type.and_then(label_in);
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(PRESCAN)]);
    let encoding = said.or_else(|| {
        // Whatever names its encoding in letters of ASCII cannot be in one of 16 bits.
        label_in(&start).map(|it| if it.is_ascii_compatible() { it } else { UTF_8 })
    });
    let looks = || if valid_utf8(bytes) { UTF_8 } else { WINDOWS_1252 };
    encoding.unwrap_or_else(looks).decode(bytes).0.into_owned()
}

/// Whether bytes are UTF-8, of which a last character may be cut off.
fn valid_utf8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

fn label_in(text: &str) -> Option<&'static Encoding> {
    let lower = text.to_ascii_lowercase();
    let (_, rest) = lower.split_once("charset")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start_matches([' ', '"', '\'']);
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-_:.".contains(c));
    Encoding::for_label(&rest.as_bytes()[..end.unwrap_or(rest.len())])
}

#[derive(Default)]
struct Found {
    properties: BTreeMap<String, String>,
    title: String,
    in_title: bool,
    has_title: bool,
    description: Option<String>,
    others: BTreeMap<&'static str, String>,
    images: BTreeMap<u8, String>,
}

impl Found {
    fn start(&mut self, tag: &StartTag<()>) {
        match &**tag.name {
            // Pictures drawn inside a page have titles of their own: the first is the page's.
            b"title" if !self.has_title => (self.in_title, self.has_title) = (true, true),
            b"meta" => self.meta(tag),
            b"link" if attribute(tag, "rel").as_deref() == Some("image_src") => {
                self.image(3, attribute(tag, "href"));
            }
            _ => {}
        }
    }

    fn meta(&mut self, tag: &StartTag<()>) {
        let name = attribute(tag, "property").or_else(|| attribute(tag, "name"));
        let (Some(name), Some(content)) = (name, attribute(tag, "content")) else { return };
        let name = name.trim().to_ascii_lowercase();
        match name.as_str() {
            "og:image:secure_url" => self.image(0, Some(content)),
            "og:image" | "og:image:url" => self.image(1, Some(content)),
            "twitter:image" | "twitter:image:src" => self.image(2, Some(content)),
            "twitter:title" => drop(self.others.entry("og:title").or_insert(content)),
            "twitter:description" => drop(self.others.entry("og:description").or_insert(content)),
            "description" => drop(self.description.get_or_insert(content)),
            // What is told of the picture is found by looking at it.
            of_image if of_image.starts_with("og:image:") && of_image != "og:image:alt" => {}
            known if known.starts_with("og:") && known.len() <= NAME_BYTES => {
                let content = tidied(&content);
                if self.properties.len() < PROPERTIES && !content.is_empty() {
                    self.properties.entry(name).or_insert(content);
                }
            }
            _ => {}
        }
    }

    fn image(&mut self, rank: u8, address: Option<String>) {
        let address = address.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        if let Some(address) = address {
            self.images.entry(rank).or_insert(address);
        }
    }

    fn page(mut self) -> Page {
        let description = self.description.take();
        let stand_ins = [
            ("og:title", self.others.remove("og:title")),
            ("og:title", Some(self.title)),
            ("og:description", self.others.remove("og:description")),
            ("og:description", description),
        ];
        for (name, text) in stand_ins {
            let text = tidied(&text.unwrap_or_default());
            if !text.is_empty() {
                self.properties.entry(name.to_owned()).or_insert(text);
            }
        }
        let image = self.images.pop_first().map(|(_, address)| address);
        Page { properties: self.properties, image }
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// A text in one line, without what no line shows, and not too long.
fn tidied(text: &str) -> String {
    let mut line = String::new();
    let mut letters = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        let room = LETTERS.saturating_sub(letters + 1);
        if room == 0 {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().take(room));
        letters += 1 + word.chars().take(room).count();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn told(html: &str) -> Vec<(String, String)> {
        read(html.as_bytes(), Some("text/html; charset=utf-8")).properties.into_iter().collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn open_graph_wins_and_others_stand_in_for_it() {
        for (html, expected) in [
            ("", &[][..]),
            ("<title>A &amp; B\n  C</title><title>later</title>", &[("og:title", "A & B C")]),
            (
                "<title>t</title><meta name=description content=d><meta property=og:title content='o'>",
                &[("og:description", "d"), ("og:title", "o")],
            ),
            (
                "<meta name=twitter:title content=w><title>t</title><meta name='og:site_name' content=s>",
                &[("og:site_name", "s"), ("og:title", "w")],
            ),
            ("<script>'<meta property=og:title content=x>'</script><title>t", &[("og:title", "t")]),
            (
                "<!--<title>x</title>--><META PROPERTY='OG:Type' CONTENT='  a  b '>",
                &[("og:type", "a b")],
            ),
            ("<title><b>x</b></title>", &[("og:title", "<b>x</b>")]),
            ("<meta property=og:image:width content=9><meta property=og:title>", &[]),
            ("<svg><title>in it</title></svg>", &[("og:title", "in it")]),
        ] {
            assert_eq!(told(html), pairs(expected), "{html}");
        }
    }

    #[test]
    fn the_best_picture_is_taken() {
        let link = "<link rel=image_src href=d>";
        for (html, expected) in [
            ("", None),
            (link, Some("d")),
            (&*format!("{link}<meta name=twitter:image content=c>"), Some("c")),
            (
                &format!(
                    "{link}<meta property=og:image content=' b '><meta property=og:image content=x>"
                ),
                Some("b"),
            ),
            (
                &format!(
                    "{link}<meta property=og:image content=b><meta property=og:image:secure_url content=a>"
                ),
                Some("a"),
            ),
            ("<meta property=og:image content=' '>", None),
        ] {
            assert_eq!(read(html.as_bytes(), None).image.as_deref(), expected, "{html}");
        }
    }

    #[test]
    fn a_page_is_read_in_its_own_encoding() {
        let title = |bytes: &[u8], said: Option<&str>| {
            read(bytes, said).properties.remove("og:title").unwrap_or_default()
        };
        let cafe = b"<title>caf\xe9</title>";
        assert_eq!(title(cafe, None), "café");
        assert_eq!(title("<title>café</title>".as_bytes(), None), "café");
        assert_eq!(title(cafe, Some("text/html; charset=\"ISO-8859-1\"")), "café");
        let own = b"<meta charset='windows-1251'><title>\xcf\xf0\xe8\xe2\xe5\xf2</title>";
        assert_eq!(title(own, Some("text/html")), "Привет");
        let old = b"<meta http-equiv=content-type content='text/html; charset=shift_jis'><title>\x83e\x83X\x83g</title>";
        assert_eq!(title(old, None), "テスト");
        assert_eq!(title(b"\xff\xfe<\0t\0i\0t\0l\0e\0>\0a\0", None), "a");
        assert_eq!(title("<meta charset=utf-16><title>é".as_bytes(), None), "é");
        // A page that is cut off within a character is what it was before.
        assert_eq!(title(&"<title>éé".as_bytes()[..10], None), "é\u{fffd}");
    }

    #[test]
    fn nothing_that_a_page_says_is_without_bound() {
        let mut html = format!("<title>{}</title>", "x".repeat(100_000));
        for n in 0..100 {
            let content = "y ".repeat(5_000);
            write!(html, "<meta property=og:p{n} content='{content}'>").unwrap();
        }
        let page = read(html.as_bytes(), None);
        assert!(page.properties.len() <= PROPERTIES + 2, "{}", page.properties.len());
        assert!(page.properties.values().all(|text| text.chars().count() <= LETTERS + 1));
        bolero::check!().with_type::<(Vec<u8>, Option<String>)>().for_each(|(bytes, said)| {
            let _whatever_it_is = read(bytes, said.as_deref());
        });
    }
}
