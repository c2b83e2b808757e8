//! Images: that they lie within the file, are of a readable kind, and do not become too large.

use serde_json::Value;

use super::{Parts, index, limits::Limits, list, report::Issues};
use crate::picture::{self, Format, PictureError};

/// Checks all images and says how many bytes they take when they are decoded.
pub(super) fn check(parts: &Parts<'_>, limits: &Limits, issues: &mut Issues) -> u64 {
    let images = list(&parts.root, "images");
    if images.len() as u64 > limits.textures {
        issues.error(
            "TOO_MANY_TEXTURES",
            "/images",
            format!("{} images; at most {} would be right", images.len(), limits.textures),
        );
        return 0;
    }
    let mut bytes = 0;
    for (at, image) in images.iter().enumerate() {
        bytes += one(parts, image, &format!("/images/{at}"), limits, issues);
    }
    if bytes > limits.texture_bytes {
        let most = limits.texture_bytes >> 20;
        issues.error(
            "TEXTURES_TOO_LARGE",
            "/images",
            format!("decoded they take {} MiB; at most {most} would be right", bytes >> 20),
        );
    }
    for (at, texture) in list(&parts.root, "textures").iter().enumerate() {
        let source = index(texture, "source");
        let webp = texture.pointer("/extensions/EXT_texture_webp/source").is_some();
        if source.is_none() && !webp {
            issues.warn(
                "TEXTURE_EMPTY",
                format!("/textures/{at}"),
                "a texture without an image that is read here",
            );
        }
    }
    bytes
}

fn one(
    parts: &Parts<'_>,
    image: &Value,
    pointer: &str,
    limits: &Limits,
    issues: &mut Issues,
) -> u64 {
    if image.get("uri").is_some() {
        issues.error(
            "EXTERNAL_URI",
            format!("{pointer}/uri"),
            "the image lies outside the file; a buffer view would be right",
        );
        return 0;
    }
    let Some(view) = index(image, "bufferView").and_then(|at| parts.views.get(at)) else {
        issues.error("IMAGE_MISSING", pointer, "an image in a buffer view would be right");
        return 0;
    };
    let content = parts.bin.get(view.offset..view.offset + view.length).unwrap_or_default();
    let picture = match picture::probe(content) {
        Ok(picture) if picture.format != Format::Gif => picture,
        Ok(_) | Err(PictureError::Unsupported) => {
            issues.error("IMAGE_UNSUPPORTED", pointer, "PNG, JPEG or WebP would be right");
            return 0;
        }
        Err(PictureError::TooLarge) => {
            issues.error(
                "TEXTURE_TOO_LARGE",
                pointer,
                format!(
                    "at most {} pixels a side, and {} in all, would be right",
                    limits.texture_edge,
                    picture::PIXELS_MAX
                ),
            );
            return 0;
        }
        Err(PictureError::Broken) => {
            issues.error("IMAGE_BROKEN", pointer, "the image is damaged");
            return 0;
        }
    };
    let (width, height) = (u64::from(picture.width), u64::from(picture.height));
    if width.max(height) > limits.texture_edge {
        issues.error(
            "TEXTURE_TOO_LARGE",
            pointer,
            format!(
                "{width} by {height} pixels; at most {} a side would be right",
                limits.texture_edge
            ),
        );
    }
    let said = image["mimeType"].as_str().unwrap_or_default();
    if said.is_empty() {
        issues.warn("IMAGE_TYPE", pointer, "an image in a buffer view without its mimeType");
    } else if said != picture.format.content_type() {
        issues.warn(
            "IMAGE_TYPE",
            format!("{pointer}/mimeType"),
            format!("the image is {}", picture.format.content_type()),
        );
    }
    if picture.format == Format::WebP && !super::uses(&parts.root, "EXT_texture_webp") {
        issues.warn("IMAGE_TYPE", pointer, "a WebP without the extension EXT_texture_webp");
    }
    width * height * 4
}
