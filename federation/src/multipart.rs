//! Files as servers hand them to each other: two parts in one body, read while they come (RFC 2046).
//!
//! The first part says something about the file, the second is the file, or says where it lies
//! (server-server API, content repository). Whatever is sent, no more is held than a head and a chunk.

/// Longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES: usize = 70;
/// Most bytes before the first part, and behind a delimiter on its own line.
const PADDING_BYTES: usize = 1024;
/// Most bytes of the head of a part.
const HEAD_BYTES: usize = 8 * 1024;
/// Most bytes of what is said about the file.
const METADATA_BYTES: usize = 64 * 1024;

/// What a head says about its part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub content_type: Option<String>,
    /// What it is called.
    pub file_name: Option<String>,
    /// Where it lies, if not here.
    pub location: Option<String>,
}

/// What has come of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// It begins: what is said of it.
    Head(Head),
    /// Its next bytes.
    Bytes(Vec<u8>),
    /// It was whole.
    End,
}

/// Why a body is none of two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// The header does not say what stands between the parts.
    #[error("it is not multipart/mixed with a boundary of 1 to 70 signs")]
    NotMultipart,
    /// Too much stands where there is no part.
    #[error("too much stands between the parts")]
    Padding,
    /// The head of a part is too long.
    #[error("the head of a part is larger than {HEAD_BYTES} bytes")]
    LongHead,
    /// The head of a part does not read.
    #[error("the head of a part does not read")]
    BadHead,
    /// The first part is none of JSON, or too long.
    #[error("the first part is not JSON of at most {METADATA_BYTES} bytes")]
    BadMetadata,
    /// There are not two parts.
    #[error("there are not exactly two parts")]
    NotTwo,
    /// It ended before its end.
    #[error("it ended before its last delimiter")]
    CutOff,
}

/// Where in the body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Delimiter,
    Head,
    Body,
    End,
}

/// Reads such a body.
#[derive(Debug)]
pub struct Multipart {
    /// What stands before each part, beginning with the end of the line before.
    delimiter: Vec<u8>,
    /// What has come and is not read.
    buffer: Vec<u8>,
    place: Place,
    /// Parts whose delimiter has come.
    parts: usize,
    /// Bytes of the first part that have been read over.
    metadata: usize,
    /// Whether the empty line behind a head is still there.
    is_fresh: bool,
}

impl Multipart {
    /// Begins, by the header `Content-Type`.
    pub fn new(content_type: &str) -> Result<Self, MultipartError> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let boundary = parameter(content_type, "boundary").unwrap_or_default();
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        let fits = (1..=BOUNDARY_BYTES).contains(&boundary.len())
            && boundary.bytes().all(is_sign)
            && !boundary.ends_with(' ');
        if !essence.eq_ignore_ascii_case("multipart/mixed") || !fits {
            return Err(MultipartError::NotMultipart);
        }
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first delimiter may stand at the very beginning, where no line ends.
        let buffer = b"\r\n".to_vec();
        Ok(Self { delimiter, buffer, place: Place::Before, parts: 0, metadata: 0, is_fresh: false })
    }

    /// Takes in the next bytes. All pieces are read before the next are taken in.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.place != Place::End {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next piece of the file; nothing until more has come.
    pub fn piece(&mut self) -> Result<Option<Piece>, MultipartError> {
        loop {
            match self.place {
                Place::Before => {
                    let Some(at) = find(&self.buffer, &self.delimiter) else {
                        let long = self.buffer.len() > PADDING_BYTES + self.delimiter.len();
                        return if long { Err(MultipartError::Padding) } else { Ok(None) };
                    };
                    self.read_over(at);
                }
                Place::Delimiter => match self.behind_delimiter()? {
                    Some(Place::End) => {
                        self.place = Place::End;
                        self.buffer = Vec::new();
                        return Ok(Some(Piece::End));
                    }
                    Some(place) => self.place = place,
                    None => return Ok(None),
                },
                Place::Head => {
                    let Some(head) = self.head()? else { return Ok(None) };
                    self.place = Place::Body;
                    if self.parts == 2 {
                        return Ok(Some(Piece::Head(head)));
                    }
                    if !head.content_type.as_deref().is_some_and(is_json) {
                        return Err(MultipartError::BadMetadata);
                    }
                }
                Place::Body => {
                    let Some(bytes) = self.body() else { return Ok(None) };
                    if self.parts == 2 && !bytes.is_empty() {
                        return Ok(Some(Piece::Bytes(bytes)));
                    }
                    self.metadata += bytes.len();
                    if self.parts == 1 && self.metadata > METADATA_BYTES {
                        return Err(MultipartError::BadMetadata);
                    }
                }
                Place::End => return Ok(None),
            }
        }
    }

    /// What is wrong with a body of which nothing more comes.
    pub fn end(&self) -> Result<(), MultipartError> {
        if self.place == Place::End { Ok(()) } else { Err(MultipartError::CutOff) }
    }

    /// Goes on behind a delimiter that begins there.
    fn read_over(&mut self, at: usize) {
        self.buffer.drain(..at + self.delimiter.len());
        self.place = Place::Delimiter;
    }

    /// Where a delimiter leads: to a part, or to the end.
    fn behind_delimiter(&mut self) -> Result<Option<Place>, MultipartError> {
        if self.buffer.len() < 2 {
            return Ok(None);
        }
        if self.buffer.starts_with(b"--") {
            return if self.parts == 2 {
                Ok(Some(Place::End))
            } else {
                Err(MultipartError::NotTwo)
            };
        }
        let Some(at) = find(&self.buffer, b"\r\n") else {
            let long = self.buffer.len() > PADDING_BYTES;
            return if long { Err(MultipartError::Padding) } else { Ok(None) };
        };
        if self.buffer[..at].iter().any(|byte| *byte != b' ' && *byte != b'\t') {
            return Err(MultipartError::Padding);
        }
        if self.parts == 2 {
            return Err(MultipartError::NotTwo);
        }
        self.parts += 1;
        // The end of this line is perhaps also the empty line behind a head that says nothing.
        self.buffer.drain(..at);
        Ok(Some(Place::Head))
    }

    fn head(&mut self) -> Result<Option<Head>, MultipartError> {
        let end = find(&self.buffer, b"\r\n\r\n");
        if end.unwrap_or(self.buffer.len()) > HEAD_BYTES {
            return Err(MultipartError::LongHead);
        }
        let Some(end) = end else { return Ok(None) };
        // The empty line stays: a part of no bytes ends with it, where the next delimiter begins.
        let lines: Vec<u8> = self.buffer.drain(..end + 2).collect();
        self.is_fresh = true;
        read_head(&lines[..end]).map(Some)
    }

    /// Bytes of a part, as many as have come; goes on behind its delimiter where that has.
    fn body(&mut self) -> Option<Vec<u8>> {
        if self.is_fresh && !self.buffer.starts_with(&self.delimiter) {
            if self.buffer.len() < self.delimiter.len() {
                return None;
            }
            self.buffer.drain(..2);
        }
        self.is_fresh = false;
        if let Some(at) = find(&self.buffer, &self.delimiter) {
            let bytes = self.buffer[..at].to_vec();
            self.read_over(at);
            return Some(bytes);
        }
        // What may be the beginning of a delimiter stays.
        let sure = self.buffer.len().checked_sub(self.delimiter.len())?;
        let rest = self.buffer.split_off(sure);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        (!bytes.is_empty()).then_some(bytes)
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Where one row of bytes stands in another.
fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    let (first, mut from) = (what.first()?, 0);
    loop {
        let at = from + within.get(from..)?.iter().position(|byte| byte == first)?;
        if within[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Reads the lines of a head.
fn read_head(lines: &[u8]) -> Result<Head, MultipartError> {
    let text = std::str::from_utf8(lines).map_err(|_| MultipartError::BadHead)?;
    let mut head = Head::default();
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(MultipartError::BadHead)?;
        let is_name = |byte: u8| byte.is_ascii_graphic();
        let is_clean = !value.chars().any(|sign| sign.is_control() && sign != '\t');
        if name.is_empty() || !name.bytes().all(is_name) || !is_clean {
            return Err(MultipartError::BadHead);
        }
        let value = value.trim().to_owned();
        let place = match name.to_ascii_lowercase().as_str() {
            "content-type" => &mut head.content_type,
            "location" => &mut head.location,
            "content-disposition" => {
                head.file_name = file_name(&value);
                continue;
            }
            _ => continue,
        };
        // Which of two would be meant?
        if place.replace(value).is_some() {
            return Err(MultipartError::BadHead);
        }
    }
    Ok(head)
}

/// The name that a header `Content-Disposition` gives to a file (RFC 6266).
#[must_use]
pub fn file_name(disposition: &str) -> Option<String> {
    let extended = parameter(disposition, "filename*").and_then(|value| {
        let (charset, rest) = value.split_once('\'')?;
        let (_language, text) = rest.split_once('\'')?;
        charset.eq_ignore_ascii_case("utf-8").then(|| unescaped(text))?
    });
    let name = extended.or_else(|| parameter(disposition, "filename"));
    name.filter(|name| !name.is_empty())
}

/// A parameter of a header such as `Content-Type`: what stands behind its name, without quotes.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, behind) = rest.split_once('=')?;
        // What has no value is none that is looked for.
        let name = name.rsplit(';').next().unwrap_or_default().trim();
        let behind = behind.trim_start();
        let (value, next) = if let Some(quoted) = behind.strip_prefix('"') {
            unquoted(quoted)?
        } else {
            let (value, next) = behind.split_once(';').unwrap_or((behind, ""));
            (value.trim().to_owned(), next)
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next;
    }
}

/// Text up to the quote that ends it, and what stands behind that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut signs) = (String::new(), text.char_indices());
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(signs.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Text as it stood before it was escaped (RFC 8187); nothing where that is none.
fn unescaped(text: &str) -> Option<String> {
    let (mut plain, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let code = std::str::from_utf8(after.get(..2)?).ok()?;
            plain.push(u8::from_str_radix(code, 16).ok()?);
            rest = &after[2..];
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/mixed; boundary=b";

    /// Reads a body that comes in pieces of so many bytes: what was said of the file, and the file.
    fn read(kind: &str, body: &[u8], chunk: usize) -> Result<(Head, Vec<u8>), MultipartError> {
        let mut reader = Multipart::new(kind)?;
        let (mut head, mut file) = (None, Vec::new());
        for bytes in body.chunks(chunk) {
            reader.push(bytes);
            while let Some(piece) = reader.piece()? {
                match piece {
                    Piece::Head(said) => head = Some(said),
                    Piece::Bytes(bytes) => file.extend(bytes),
                    Piece::End => {}
                }
            }
        }
        reader.end()?;
        Ok((head.expect("a whole body has a head"), file))
    }

    /// A body whose file stands under these lines, each with its end.
    fn whole(head: &str, file: &[u8]) -> Vec<u8> {
        let begin =
            format!("--b\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--b\r\n{head}\r\n");
        [begin.as_bytes(), file, b"\r\n--b--\r\n"].concat()
    }

    #[test]
    fn a_file_is_read_however_it_comes() {
        let near: &[u8] = b"\r\n--a\r\n-\r\r\n--\r\n";
        let disposition = "inline; filename=\"a \\\"b\\\".png\"; filename*=utf-8''%C3%A9.png";
        let head =
            format!("content-TYPE: image/png\r\nContent-Disposition: {disposition}\r\nX: y\r\n");
        for file in [b"".as_slice(), b"a", b"\r\n", near, &[0xff; 5_000]] {
            let body = whole(&head, file);
            for chunk in [1, 2, 3, 7, 64, 100_000] {
                let (said, found) = read(KIND, &body, chunk).unwrap();
                assert_eq!(found, file, "in pieces of {chunk}");
                assert_eq!(said.content_type.as_deref(), Some("image/png"));
                assert_eq!(said.file_name.as_deref(), Some("\u{e9}.png"));
                assert_eq!(said.location, None);
            }
            for cut in 0..body.len() - 4 {
                assert_eq!(
                    read(KIND, &body[..cut], 9).err(),
                    Some(MultipartError::CutOff),
                    "{cut}"
                );
            }
        }
        let elsewhere = read(KIND, &whole("Location: https://c.test/x\r\n", b""), 5).unwrap().0;
        assert_eq!(elsewhere.location.as_deref(), Some("https://c.test/x"));
        let without_head = whole("", b"x");
        assert_eq!(read(KIND, &without_head, 3).unwrap(), (Head::default(), b"x".to_vec()));
    }

    #[test]
    fn what_is_no_file_in_two_parts_is_refused() {
        for kind in [
            "application/json",
            "multipart/mixed",
            "multipart/form-data; boundary=b",
            "multipart/mixed; boundary=",
            "multipart/mixed; boundary=\"b",
            "multipart/mixed; boundary=\"b\u{e9}\"",
            &format!("multipart/mixed; boundary={}", "b".repeat(71)),
        ] {
            assert_eq!(Multipart::new(kind).err(), Some(MultipartError::NotMultipart), "{kind}");
        }
        let json = "Content-Type: application/json\r\n\r\n{}";
        let long = "x".repeat(METADATA_BYTES + 1_000);
        let wrong = [
            ("x".repeat(2_000), MultipartError::Padding),
            (format!("--b{}", " ".repeat(2_000)), MultipartError::Padding),
            ("--bb\r\n".to_owned(), MultipartError::Padding),
            ("--b--\r\n".to_owned(), MultipartError::NotTwo),
            (format!("--b\r\n{json}\r\n--b--\r\n"), MultipartError::NotTwo),
            (
                format!("--b\r\n{json}\r\n--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--"),
                MultipartError::NotTwo,
            ),
            (format!("--b\r\n{}", "x".repeat(HEAD_BYTES + 10)), MultipartError::LongHead),
            (format!("--b\r\n{}", "x: y\r\n".repeat(HEAD_BYTES)), MultipartError::LongHead),
            ("--b\r\nno name\r\n\r\n".to_owned(), MultipartError::BadHead),
            ("--b\r\nA b: c\r\n\r\n".to_owned(), MultipartError::BadHead),
            ("--b\r\nLocation: a\r\nLocation: b\r\n\r\n".to_owned(), MultipartError::BadHead),
            ("--b\r\nX: a\nb\r\n\r\n".to_owned(), MultipartError::BadHead),
            (
                "--b\r\nContent-Type: text/plain\r\n\r\n{}\r\n--b".to_owned(),
                MultipartError::BadMetadata,
            ),
            ("--b\r\n\r\n{}\r\n--b".to_owned(), MultipartError::BadMetadata),
            (format!("--b\r\n{json}{long}"), MultipartError::BadMetadata),
            (String::new(), MultipartError::CutOff),
        ];
        for (body, why) in wrong {
            for chunk in [7, 100_000] {
                let found = read(KIND, body.as_bytes(), chunk).err();
                assert_eq!(found, Some(why), "{:?}", &body[..body.len().min(60)]);
            }
        }
    }

    #[test]
    fn parameters_are_found_where_they_stand() {
        let found = |header: &str| parameter(header, "boundary");
        assert_eq!(found("multipart/mixed;boundary=a").as_deref(), Some("a"));
        assert_eq!(
            found("multipart/mixed; x=\"; boundary=c\"; BOUNDARY = \"a b\" ").as_deref(),
            Some("a b")
        );
        assert_eq!(found("multipart/mixed; x; boundary=a;").as_deref(), Some("a"));
        assert_eq!(found("multipart/mixed; xboundary=a"), None);
        assert_eq!(file_name("attachment; filename=a.txt").as_deref(), Some("a.txt"));
        assert_eq!(file_name("attachment; filename*=latin1''a; filename=b").as_deref(), Some("b"));
        assert_eq!(file_name("attachment; filename*=utf-8''%f"), None);
        assert_eq!(file_name("attachment"), None);
    }

    #[test]
    fn nothing_that_comes_panics() {
        bolero::check!().with_type::<(Vec<u8>, u8, String)>().for_each(|(bytes, chunk, text)| {
            let body =
                [b"--b\r\nContent-Type: application/json\r\n\r\n".as_slice(), bytes].concat();
            for body in [bytes, &body] {
                let _whatever_it_is = read(KIND, body, usize::from(*chunk).max(1)).is_ok();
            }
            let _whatever_it_is = (file_name(text), Multipart::new(text));
        });
    }
}
