//! The outside of a GLB: its chunks, and the size of its JSON before that is read (glTF 2.0, chapter 4).

use serde_json::Value;

use super::{limits::Limits, report::Issues};

const HEADER: usize = 12;
const CHUNK_HEADER: usize = 8;
const JSON: u32 = 0x4E4F_534A;
const BIN: u32 = 0x004E_4942;

/// The two chunks of a GLB.
pub(super) struct Container<'a> {
    /// The JSON chunk, read.
    pub(super) root: Value,
    /// The JSON chunk, as it stands.
    pub(super) json: &'a [u8],
    /// The BIN chunk; empty where there is none.
    pub(super) bin: &'a [u8],
}

/// Opens a GLB; `None` after an error that leaves nothing to look at.
pub(super) fn open<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    issues: &mut Issues,
) -> Option<Container<'a>> {
    if bytes.len() as u64 > limits.bytes {
        let most = limits.bytes / 1_000_000;
        issues.error(
            "FILE_TOO_LARGE",
            "",
            format!("the file has {} bytes; at most {most} MB would be right", bytes.len()),
        );
        return None;
    }
    let (json, bin) = chunks(bytes, issues)?;
    if !small_enough(json, limits, issues) {
        return None;
    }
    if json.starts_with(b"\xEF\xBB\xBF") {
        issues.error(
            "JSON_BROKEN",
            "",
            "the JSON begins with a byte order mark; none would be right",
        );
        return None;
    }
    match serde_json::from_slice::<Value>(json) {
        Ok(root) if root.is_object() => Some(Container { root, json, bin }),
        Ok(_) => {
            issues.error("JSON_BROKEN", "", "the JSON is not an object; an object would be right");
            None
        }
        Err(error) => {
            issues.error("JSON_BROKEN", "", format!("the JSON cannot be read: {error}"));
            None
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn chunks<'a>(bytes: &'a [u8], issues: &mut Issues) -> Option<(&'a [u8], &'a [u8])> {
    if bytes.get(..4) != Some(b"glTF") {
        issues.error("NOT_A_GLB", "", "the file does not begin with glTF; a GLB would be right");
        return None;
    }
    let (Some(version), Some(length)) = (word(bytes, 4), word(bytes, 8)) else {
        issues.error("GLB_TRUNCATED", "", "the file ends within its header");
        return None;
    };
    if version != 2 {
        let message = format!("the container is of version {version}; version 2 would be right");
        issues.error("GLB_VERSION", "", message);
        return None;
    }
    if length as usize > bytes.len() {
        let message = format!("the file ends after {} of {length} bytes", bytes.len());
        issues.error("GLB_TRUNCATED", "", message);
        return None;
    }
    if (length as usize) < bytes.len() {
        let spare = bytes.len() - length as usize;
        issues.error("GLB_TRAILING", "", format!("{spare} bytes follow what the header counts"));
        return None;
    }
    let (mut json, mut bin, mut at, mut number) = (None, None, HEADER, 0);
    while at < bytes.len() {
        let (Some(size), Some(kind)) = (word(bytes, at), word(bytes, at + 4)) else {
            issues.error("GLB_TRUNCATED", "", "the file ends within the header of a chunk");
            return None;
        };
        let start = at + CHUNK_HEADER;
        let Some(content) = bytes.get(start..start.saturating_add(size as usize)) else {
            issues.error("GLB_TRUNCATED", "", "a chunk is longer than the file");
            return None;
        };
        if !size.is_multiple_of(4) {
            issues.error("GLB_UNALIGNED", "", "a chunk does not end at a multiple of four bytes");
        }
        match (kind, number) {
            (JSON, 0) => json = Some(content),
            (BIN, 1) => bin = Some(content),
            (JSON | BIN, _) | (_, 0) => {
                issues.error("GLB_CHUNKS", "", "JSON first, then at most one BIN, would be right");
            }
            _ => issues.tell("GLB_UNKNOWN_CHUNK", "", "a chunk of an unknown kind is passed over"),
        }
        at = start + size as usize;
        number += 1;
    }
    if json.is_none() {
        issues.error("GLB_CHUNKS", "", "there is no JSON chunk");
    }
    Some((json?, bin.unwrap_or(&[])))
}

/// Looks over the JSON without reading it: what it would become in memory is a multiple of its size.
fn small_enough(json: &[u8], limits: &Limits, issues: &mut Issues) -> bool {
    if json.len() as u64 > limits.json_bytes {
        let most = limits.json_bytes / 1_000_000;
        issues.error("JSON_TOO_LARGE", "", format!("at most {most} MB of JSON would be right"));
        return false;
    }
    let (mut depth, mut deepest, mut values, mut in_text, mut escaped) =
        (0u64, 0, 0u64, false, false);
    for byte in json {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                values += 1;
                deepest = depth.max(deepest);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    if deepest > limits.json_depth {
        let most = limits.json_depth;
        issues.error("JSON_TOO_DEEP", "", format!("at most {most} levels of JSON would be right"));
    }
    if values > limits.json_values {
        let most = limits.json_values;
        issues.error("JSON_TOO_LARGE", "", format!("at most {most} values of JSON would be right"));
    }
    deepest <= limits.json_depth && values <= limits.json_values
}
